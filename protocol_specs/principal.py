"""DefaultPrincipalData: a principal as it travels in an Envelope (KIP-590).

Bytes: int16 version, then the fields.
"""

from protocol_specs.grammar import Bool, Message, String

DefaultPrincipalData = Message("DefaultPrincipalData", versions="0", flexible="0+")(
    "type" / String,               # kind of principal: "User"
    "name" / String,               # the principal's name
    "token_authenticated" / Bool,  # whether it logged in by a delegation token
)
