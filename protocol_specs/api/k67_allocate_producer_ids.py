"""AllocateProducerIds: a broker asks the controller for a block of producer ids (KIP-730)."""

from protocol_specs.grammar import BrokerEpoch, DurationMs, ErrorCode, Int32, Message, NodeId, ProducerId

AllocateProducerIdsRequest = Message("AllocateProducerIdsRequest", key=67, versions="0", flexible="0+")(
    "broker_id" / NodeId,                      # the broker's node id
    "broker_epoch" / BrokerEpoch(default=-1),  # the broker's registration epoch; older ones are fenced
)

AllocateProducerIdsResponse = Message("AllocateProducerIdsResponse", key=67, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,   # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,          # 0, or why this was refused (errors.py)
    "producer_id_start" / ProducerId,  # the block's first id
    "producer_id_len" / Int32,         # number of ids in the block
)
