"""ExpireDelegationToken: set a token's end, or end it now (KIP-48).

v1 answers before it throttles; v2 is flexible. v0 is gone since Kafka 4.0.
"""

from protocol_specs.grammar import Bytes, DurationMs, ErrorCode, Int64, Message, TimestampMs

ExpireDelegationTokenRequest = Message("ExpireDelegationTokenRequest", key=40, versions="0-2", flexible="2+")(
    "hmac" / Bytes,                   # the token's secret: HMAC over its id
    "expiry_time_period_ms" / Int64,  # ms until it expires, negative: at once
)

ExpireDelegationTokenResponse = Message("ExpireDelegationTokenResponse", key=40, versions="0-2", flexible="2+")(
    "error_code" / ErrorCode,             # 0, or why this was refused (errors.py)
    "expiry_timestamp_ms" / TimestampMs,  # ms since 1970 when it stops working
    "throttle_time_ms" / DurationMs,      # ms the client is asked to wait: its quota was exceeded
)
