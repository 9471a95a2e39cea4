"""RemoveUserScramCredentialRecord: a user's SCRAM credential is gone (KIP-554)."""

from protocol_specs.grammar import Int8, Message, String

RemoveUserScramCredentialRecord = Message("RemoveUserScramCredentialRecord", key=22, versions="0", flexible="0+")(
    "name" / String,     # the user's name
    "mechanism" / Int8,  # SCRAM mechanism: 1 SHA-256, 2 SHA-512
)
