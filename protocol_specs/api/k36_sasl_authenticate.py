"""SaslAuthenticate: one step of a SASL exchange (KIP-152).

v1 bounds the session's life, for re-authentication (KIP-368); v2 is flexible.
"""

from protocol_specs.grammar import Bytes, ErrorCode, ErrorMessage, Int64, Message, Nullable

SaslAuthenticateRequest = Message("SaslAuthenticateRequest", key=36, versions="0-2", flexible="2+")(
    "auth_bytes" / Bytes,  # the client's SASL token
)

SaslAuthenticateResponse = Message("SaslAuthenticateResponse", key=36, versions="0-2", flexible="2+")(
    "error_code" / ErrorCode,                                # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),                # the reason in words, null when there is none to add
    "auth_bytes" / Bytes,                                    # the server's SASL token
    # ms until the client must authenticate again, 0 never (KIP-368)
    "session_lifetime_ms" / Int64(since=1, ignorable=True),
)
