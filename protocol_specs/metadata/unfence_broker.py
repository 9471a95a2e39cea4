"""UnfenceBrokerRecord: a broker may lead again. Superseded by BrokerRegistrationChangeRecord."""

from protocol_specs.grammar import Int64, Message, NodeId

UnfenceBrokerRecord = Message("UnfenceBrokerRecord", key=8, versions="0", flexible="0+")(
    "id" / NodeId,    # the broker's node id
    "epoch" / Int64,  # the broker's epoch
)
