"""ConfigRecord: one config of one resource has a value, or none any more."""

from protocol_specs.grammar import Int8, Message, Nullable, String

ConfigRecord = Message("ConfigRecord", key=4, versions="0", flexible="0+")(
    "resource_type" / Int8,      # 2 topic, 4 broker, 16 client metrics, 32 group
    "resource_name" / String,    # the resource's name, "" for the default of all brokers
    "name" / String,             # the config's name
    "value" / Nullable(String),  # the value as text, null to go back to the default
)
