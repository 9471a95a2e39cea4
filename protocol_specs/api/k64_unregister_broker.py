"""UnregisterBroker: forget a broker that will not come back (KIP-500)."""

from protocol_specs.grammar import DurationMs, ErrorCode, ErrorMessage, Message, NodeId, Nullable

UnregisterBrokerRequest = Message("UnregisterBrokerRequest", key=64, versions="0", flexible="0+")(
    "broker_id" / NodeId,  # the broker's node id
)

UnregisterBrokerResponse = Message("UnregisterBrokerResponse", key=64, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
)
