"""Envelope: a broker forwards a client's request to the controller (KIP-590)."""

from protocol_specs.grammar import Bytes, ErrorCode, Message, Nullable

EnvelopeRequest = Message("EnvelopeRequest", key=58, versions="0", flexible="0+")(
    "request_data" / Bytes,                 # a whole request: header and body
    "request_principal" / Nullable(Bytes),  # on whose behalf, see principal.py; null if not authenticated
    "client_host_address" / Bytes,          # the client's address: 4 or 16 raw bytes
)

EnvelopeResponse = Message("EnvelopeResponse", key=58, versions="0", flexible="0+")(
    "response_data" / Nullable(Bytes, default=None),  # the whole response, header included; null on error
    "error_code" / ErrorCode,                         # 0, or why this was refused (errors.py)
)
