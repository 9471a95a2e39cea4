"""AlterUserScramCredentials: set and remove SCRAM credentials (KIP-554)."""

from protocol_specs.grammar import (
    Array,
    Bytes,
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

AlterUserScramCredentialsRequest = Message("AlterUserScramCredentialsRequest", key=51, versions="0", flexible="0+")(
    "deletions" / Array(Struct("ScramCredentialDeletion")(  # credentials to remove
        "name" / String,     # the user's name
        "mechanism" / Int8,  # SCRAM mechanism: 1 SHA-256, 2 SHA-512
    )),
    "upsertions" / Array(Struct("ScramCredentialUpsertion")(  # credentials to add or replace
        "name" / String,            # the user's name
        "mechanism" / Int8,         # SCRAM mechanism: 1 SHA-256, 2 SHA-512
        "iterations" / Int32,       # rounds of hashing
        "salt" / Bytes,             # random bytes of the client's choice
        "salted_password" / Bytes,  # the salted password; the password itself never travels
    )),
)

AlterUserScramCredentialsResponse = Message("AlterUserScramCredentialsResponse", key=51, versions="0", flexible="0+")(
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("AlterUserScramCredentialsResult")(  # one result per entry of the request
        "user" / String,                           # the user's name
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
    )),
)
