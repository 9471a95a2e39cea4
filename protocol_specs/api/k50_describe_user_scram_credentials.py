"""DescribeUserScramCredentials: who has SCRAM credentials, and of which strength (KIP-554)."""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    Int8,
    Int32,
    Message,
    Nullable,
    String,
    Struct,
)

DescribeUserScramCredentialsRequest = Message(
    "DescribeUserScramCredentialsRequest", key=50, versions="0", flexible="0+"
)(
    "users" / Nullable(Array(Struct("UserName")(  # null for everyone
        "name" / String,  # the user's name
    ))),
)

DescribeUserScramCredentialsResponse = Message(
    "DescribeUserScramCredentialsResponse", key=50, versions="0", flexible="0+"
)(
    "throttle_time_ms" / DurationMs,           # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
    "results" / Array(Struct("DescribeUserScramCredentialsResult")(  # one entry per user
        "user" / String,                                      # the user's name
        "error_code" / ErrorCode,                             # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),             # the reason in words, null when there is none to add
        "credential_infos" / Array(Struct("CredentialInfo")(  # the credentials, without their secrets
            "mechanism" / Int8,    # SCRAM mechanism: 1 SHA-256, 2 SHA-512
            "iterations" / Int32,  # rounds of hashing
        )),
    )),
)
