"""DelegationTokenRecord: a delegation token was made or renewed (KIP-48). The secret isn't stored: it follows from
the token's id and the cluster's key.
"""

from protocol_specs.grammar import Array, Message, String, TimestampMs

DelegationTokenRecord = Message("DelegationTokenRecord", key=10, versions="0", flexible="0+")(
    "owner" / String,                      # the owning principal, "User:name"
    "requester" / String,                  # the principal that asked for it, "User:name"
    "renewers" / Array(String),            # principals that may prolong it besides the owner
    "issue_timestamp" / TimestampMs,       # ms since 1970 when it was issued
    "max_timestamp" / TimestampMs,         # ms since 1970 beyond which no renewal reaches
    "expiration_timestamp" / TimestampMs,  # ms since 1970 when it stops working unless renewed
    "token_id" / String,                   # names the token
)
