"""SaslHandshake: choose a SASL mechanism.

After v0 the tokens follow as bare frames, after v1 as SaslAuthenticate requests (KIP-152). Never flexible: old
clients negotiate its version wrongly (KAFKA-9577).
"""

from protocol_specs.grammar import Array, ErrorCode, Message, String

SaslHandshakeRequest = Message("SaslHandshakeRequest", key=17, versions="0-1", flexible="none")(
    "mechanism" / String,  # the wanted mechanism, such as "PLAIN"
)

SaslHandshakeResponse = Message("SaslHandshakeResponse", key=17, versions="0-1", flexible="none")(
    "error_code" / ErrorCode,      # 0, or why this was refused (errors.py)
    "mechanisms" / Array(String),  # what the listener has enabled
)
