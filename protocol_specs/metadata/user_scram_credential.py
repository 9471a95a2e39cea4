"""UserScramCredentialRecord: a user's SCRAM credential (KIP-554)."""

from protocol_specs.grammar import Bytes, Int8, Int32, Message, String

UserScramCredentialRecord = Message("UserScramCredentialRecord", key=11, versions="0", flexible="0+")(
    "name" / String,       # the user's name
    "mechanism" / Int8,    # SCRAM mechanism: 1 SHA-256, 2 SHA-512
    "salt" / Bytes,        # the random bytes mixed into the password
    "stored_key" / Bytes,  # what proves that a client knows the password
    "server_key" / Bytes,  # what proves to the client that we know it
    "iterations" / Int32,  # rounds of hashing
)
