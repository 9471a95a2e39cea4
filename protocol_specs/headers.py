"""Headers of requests and responses. A frame is an int32 size (not counting itself), a header and a body.

Request header v1 goes before classic versions of a body, v2 before flexible ones; the client id keeps its two-byte
length in v2, so that any broker can read the header of any ApiVersions request. (v0, without a client id, was used by
ControlledShutdown v0 alone.) Response header v1 goes before flexible versions, but ApiVersions is always
answered with v0: the client may not know yet what the broker speaks.
"""

from protocol_specs.grammar import ClassicString, Int16, Int32, Message, Nullable

RequestHeader = Message("RequestHeader", versions="0-2", flexible="2+")(
    "request_api_key" / Int16,
    "request_api_version" / Int16,
    "correlation_id" / Int32,  # comes back in the response's header
    "client_id" / Nullable(ClassicString, since=1, ignorable=True),
)

ResponseHeader = Message("ResponseHeader", versions="0-1", flexible="1+")(
    "correlation_id" / Int32,
)

API_VERSIONS_KEY = 18


def request_header_version(is_flexible: bool) -> int:
    """Which header goes before a request."""
    return 2 if is_flexible else 1


def response_header_version(key: int | None, is_flexible: bool) -> int:
    """Which header goes before a response to a request of `key`."""
    return 1 if is_flexible and key != API_VERSIONS_KEY else 0
