"""FenceBrokerRecord: a broker is kept from leadership. Superseded by BrokerRegistrationChangeRecord."""

from protocol_specs.grammar import Int64, Message, NodeId

FenceBrokerRecord = Message("FenceBrokerRecord", key=7, versions="0", flexible="0+")(
    "id" / NodeId,    # the broker's node id
    "epoch" / Int64,  # the broker's epoch
)
