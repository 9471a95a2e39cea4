"""RemoveDelegationTokenRecord: a delegation token is gone (KIP-48)."""

from protocol_specs.grammar import Message, String

RemoveDelegationTokenRecord = Message("RemoveDelegationTokenRecord", key=26, versions="0", flexible="0+")(
    "token_id" / String,  # names the token
)
