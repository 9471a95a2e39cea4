"""UnregisterBrokerRecord: a broker is forgotten."""

from protocol_specs.grammar import BrokerEpoch, Message, NodeId

UnregisterBrokerRecord = Message("UnregisterBrokerRecord", key=1, versions="0", flexible="0+")(
    "broker_id" / NodeId,          # the broker's node id
    "broker_epoch" / BrokerEpoch,  # the broker's registration epoch; older ones are fenced
)
