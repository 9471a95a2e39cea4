"""DescribeDelegationToken: the tokens that the caller may see (KIP-48).

v1 answers before it throttles; v2 is flexible; v3 tells who requested each (KIP-373). v0 is gone since Kafka 4.0.
"""

from protocol_specs.grammar import Array, Bytes, DurationMs, ErrorCode, Message, Nullable, String, Struct, TimestampMs

DescribeDelegationTokenRequest = Message("DescribeDelegationTokenRequest", key=41, versions="0-3", flexible="2+")(
    "owners" / Nullable(Array(Struct("DescribeDelegationTokenOwner")(  # whose tokens, null for all
        "principal_type" / String,  # kind of principal: "User"
        "principal_name" / String,  # the principal's name
    ))),
)

DescribeDelegationTokenResponse = Message("DescribeDelegationTokenResponse", key=41, versions="0-3", flexible="2+")(
    "error_code" / ErrorCode,                             # 0, or why this was refused (errors.py)
    "tokens" / Array(Struct("DescribedDelegationToken")(  # the tokens the caller may see
        "principal_type" / String,                           # kind of principal: "User"
        "principal_name" / String,                           # the principal's name
        "token_requester_principal_type" / String(since=3),  # kind of the principal that asked for the token (KIP-373)
        "token_requester_principal_name" / String(since=3),  # name of the principal that asked for the token
        "issue_timestamp" / TimestampMs,                     # ms since 1970 when it was issued
        "expiry_timestamp" / TimestampMs,                    # ms since 1970 when it stops working unless renewed
        "max_timestamp" / TimestampMs,                       # ms since 1970 beyond which no renewal reaches
        "token_id" / String,                                 # names the token
        "hmac" / Bytes,                                      # the token's secret: HMAC over its id
        "renewers" / Array(Struct("DescribedDelegationTokenRenewer")(  # who else may prolong the token
            "principal_type" / String,  # kind of principal: "User"
            "principal_name" / String,  # the principal's name
        )),
    )),
    "throttle_time_ms" / DurationMs,  # ms the client is asked to wait: its quota was exceeded
)
