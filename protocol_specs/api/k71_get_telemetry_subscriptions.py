"""GetTelemetrySubscriptions: a client asks which metrics the cluster wants of it (KIP-714)."""

from protocol_specs.grammar import Array, Bool, DurationMs, ErrorCode, Int8, Int32, Message, String, Uuid

GetTelemetrySubscriptionsRequest = Message("GetTelemetrySubscriptionsRequest", key=71, versions="0", flexible="0+")(
    "client_instance_id" / Uuid,  # uuid of the client, zero when it asks for one
)

GetTelemetrySubscriptionsResponse = Message("GetTelemetrySubscriptionsResponse", key=71, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,             # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                    # 0, or why this was refused (errors.py)
    "client_instance_id" / Uuid,                 # the uuid to use from now on
    "subscription_id" / Int32,                   # names the set of metrics subscribed to
    "accepted_compression_types" / Array(Int8),  # codecs the broker reads, the most wanted first
    "push_interval_ms" / DurationMs,             # ms between pushes
    "telemetry_max_bytes" / Int32,               # bytes of metrics per push at most
    "delta_temporality" / Bool,                  # whether counters are sent as differences
    "requested_metrics" / Array(String),         # prefixes of wanted metrics; [""] all, empty none
)
