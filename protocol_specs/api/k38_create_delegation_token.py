"""CreateDelegationToken: a token that logs in without the owner's credentials (KIP-48).

v1 answers before it throttles; v2 is flexible; v3 creates tokens for another owner (KIP-373). v0 is gone since Kafka
4.0.
"""

from protocol_specs.grammar import (
    Array,
    Bytes,
    DurationMs,
    ErrorCode,
    Int64,
    Message,
    Nullable,
    String,
    Struct,
    TimestampMs,
)

CreateDelegationTokenRequest = Message("CreateDelegationTokenRequest", key=38, versions="0-3", flexible="2+")(
    "owner_principal_type" / Nullable(String, since=3),  # kind of the owner, null for the requester itself (KIP-373)
    "owner_principal_name" / Nullable(String, since=3),  # name of the owner, null for the requester itself
    "renewers" / Array(Struct("CreatableRenewers")(      # who may prolong the token besides its owner
        "principal_type" / String,  # kind of principal: "User"
        "principal_name" / String,  # the principal's name
    )),
    "max_lifetime_ms" / Int64,  # ms it may live, renewals included; -1 for the broker's limit
)

CreateDelegationTokenResponse = Message("CreateDelegationTokenResponse", key=38, versions="0-3", flexible="2+")(
    "error_code" / ErrorCode,                            # 0, or why this was refused (errors.py)
    "principal_type" / String,                           # kind of principal: "User"
    "principal_name" / String,                           # the principal's name
    "token_requester_principal_type" / String(since=3),  # kind of the principal that asked for the token (KIP-373)
    "token_requester_principal_name" / String(since=3),  # name of the principal that asked for the token
    "issue_timestamp_ms" / TimestampMs,                  # ms since 1970 when it was issued
    "expiry_timestamp_ms" / TimestampMs,                 # ms since 1970 when it stops working
    "max_timestamp_ms" / TimestampMs,                    # ms since 1970 beyond which no renewal reaches
    "token_id" / String,                                 # names the token
    "hmac" / Bytes,                                      # the token's secret: HMAC over its id
    "throttle_time_ms" / DurationMs,                     # ms the client is asked to wait: its quota was exceeded
)
