"""ProducerIdsRecord: a block of producer ids was handed out (KIP-730)."""

from protocol_specs.grammar import BrokerEpoch, Message, NodeId, ProducerId

ProducerIdsRecord = Message("ProducerIdsRecord", key=15, versions="0", flexible="0+")(
    "broker_id" / NodeId,                      # the broker that got the block before next_producer_id
    "broker_epoch" / BrokerEpoch(default=-1),  # the broker's registration epoch; older ones are fenced
    "next_producer_id" / ProducerId,           # the first id not handed out yet
)
