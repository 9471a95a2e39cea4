"""PushTelemetry: a client sends metrics of its own (KIP-714)."""

from protocol_specs.grammar import Bool, Bytes, DurationMs, ErrorCode, Int8, Int32, Message, Uuid

PushTelemetryRequest = Message("PushTelemetryRequest", key=72, versions="0", flexible="0+")(
    "client_instance_id" / Uuid,  # the uuid the broker gave
    "subscription_id" / Int32,    # names the set of metrics subscribed to
    "terminating" / Bool,         # the client's last push
    "compression_type" / Int8,    # 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd
    "metrics" / Bytes,            # OpenTelemetry MetricsData, compressed
)

PushTelemetryResponse = Message("PushTelemetryResponse", key=72, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,         # 0, or why this was refused (errors.py)
)
