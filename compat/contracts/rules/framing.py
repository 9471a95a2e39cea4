"""Frames and headers, before any request is understood."""

from __future__ import annotations

import struct

from compat.contracts.bench import Bench, made, messages_of
from compat.contracts.engine import cases, contract, expect
from compat.contracts.keys import API_VERSIONS, DESCRIBE_CLUSTER, FIND_COORDINATOR, HEARTBEAT, METADATA, PRODUCE
from kbroker.wire.codec import decode

SOCKETS = "Kafka: NetworkReceive, SocketServer"
HEADERS = "Kafka: RequestHeader, RequestContext"
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))


@cases(
    SOCKETS,
    ("FRAME-001 a frame of zero bytes closes the connection", struct.pack(">i", 0)),
    ("FRAME-002 a negative frame size closes the connection", struct.pack(">i", -1)),
    ("FRAME-003 the most negative frame size closes the connection", struct.pack(">i", -(1 << 31))),
    ("FRAME-004 a frame above socket.request.max.bytes closes the connection", struct.pack(">i", 104857601)),
    ("FRAME-005 the largest frame size closes the connection", struct.pack(">i", (1 << 31) - 1)),
    ("FRAME-006 an HTTP request closes the connection", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("FRAME-007 a TLS hello on a plain listener closes the connection", TLS_HELLO),
)
def closes_at_once(b: Bench, data: bytes) -> None:
    other = b.line()
    b.ask(API_VERSIONS, 0, other)
    line = b.line()
    line.send_bytes(data)
    expect("closed", line.is_closed(), True)
    expect("another connection's error", b.ask(API_VERSIONS, 0, other).error_code, 0)
    expect("a new connection is served", b.lives(), True)


@cases(
    HEADERS,
    ("FRAME-010 a frame of one byte closes the connection", b"\0"),
    ("FRAME-011 a header cut in its client id closes the connection", struct.pack(">hhih", 3, 4, 1, 20) + b"short"),
    ("FRAME-012 an unknown API key closes the connection", struct.pack(">hhih", 999, 0, 1, -1)),
    ("FRAME-013 a negative API key closes the connection", struct.pack(">hhih", -1, 0, 1, -1)),
    ("FRAME-014 a key that ended with ZooKeeper closes the connection", struct.pack(">hhih", 4, 0, 1, -1) + bytes(64)),
    ("FRAME-016 a body cut in an array closes the connection", struct.pack(">hhihi", 3, 1, 1, -1, 3)),
    ("FRAME-017 a missing body closes the connection", struct.pack(">hhih", 3, 1, 1, -1)),
    ("FRAME-018 a huge array count closes the connection", struct.pack(">hhihi", 3, 1, 1, -1, (1 << 31) - 1)),
    ("FRAME-019 a negative version closes the connection", struct.pack(">hhih", 3, -1, 1, -1) + bytes(8)),
)
def closes_for_a_bad_frame(b: Bench, frame: bytes) -> None:
    expect("closed", b.is_closed_by(frame), True)
    expect("a new connection is served", b.lives(), True)


@contract(
    "FRAME-020 bytes behind the body are tolerated", "Kafka: AbstractRequest.parseRequest, which reads on no further"
)
def trailing_bytes(b: Bench) -> None:
    line = b.line()
    request, response = messages_of(METADATA)
    for version in (1, 4, 9, 12):
        frame = line.frame(request, version, made(request, {"topics": []}))
        line.send_frame(frame + b"seven!!")
        expect(f"topics at version {version}", b.answer(METADATA, version, line, line.correlation_id).topics, [])
    assert response.key == METADATA


@contract(
    "FRAME-021 requests of one connection are answered in their order", "Kafka: SocketServer mutes after each request"
)
def in_order(b: Bench) -> None:
    line = b.line()
    numbers = [
        (key, version, b.send(key, version, line, **fields))
        for key, version, fields in (
            (METADATA, 1, {"topics": []}),
            (API_VERSIONS, 0, {}),
            (HEARTBEAT, 0, {"group_id": "nobody", "member_id": "m"}),
            (API_VERSIONS, 2, {}),
            (METADATA, 12, {"topics": []}),
        )
    ]
    for key, version, number in numbers:
        b.answer(key, version, line, number)


@contract("FRAME-022 a frame that comes byte by byte is understood", SOCKETS)
def byte_by_byte(b: Bench) -> None:
    line = b.line()
    request, _ = messages_of(METADATA)
    frame = line.frame(request, 9, made(request, {"topics": []}))
    for byte in struct.pack(">i", len(frame)) + frame:
        line.send_bytes(bytes([byte]))
    expect("topics", b.answer(METADATA, 9, line, line.correlation_id).topics, [])


@contract("FRAME-023 a connection cut inside a frame hurts nobody else", SOCKETS)
def cut_inside(b: Bench) -> None:
    for sent in (1, 3, 4, 5, 20):
        line = b.line()
        line.send_bytes((struct.pack(">i", 1000) + bytes(1000))[:sent])
        line.close()
    expect("a new connection is served", b.lives(), True)


@contract("FRAME-024 a null client id is taken for an empty one", HEADERS)
def null_client(b: Bench) -> None:
    line = b.line(client_id=None)
    expect("topics", b.ask(METADATA, 1, line, topics=[]).topics, [])
    expect("topics in a flexible version", b.ask(METADATA, 9, line, topics=[]).topics, [])


@contract("FRAME-015 a client id length below -1 is taken for null", HEADERS)
def client_id_of_minus_two(b: Bench) -> None:
    line = b.line()
    line.send_frame(struct.pack(">hhihi", METADATA, 1, 1, -2, 0))
    expect("topics", b.answer(METADATA, 1, line, 1).topics, [])


@contract("FRAME-025 the client id keeps its two-byte length in a flexible header", "KIP-482")
def flexible_client_id(b: Bench) -> None:
    line = b.line(client_id="x" * 300)
    expect("topics", b.ask(METADATA, 12, line, topics=[]).topics, [])


@contract("FRAME-026 unknown tagged fields are skipped", "KIP-482")
def unknown_tags(b: Bench) -> None:
    tags = ((77, b"seventy-seven"), (100_000, b""))
    expect("topics", b.ask(METADATA, 9, topics=[], unknown_tags=tags).topics, [])
    wanted = b.topic()
    found = b.ask(METADATA, 12, topics=[{"name": wanted, "unknown_tags": tags}], unknown_tags=tags)
    expect("error of a topic with unknown tags", found.topics[0].error_code, 0)


@contract("FRAME-027 unknown tagged fields in a header are skipped", "KIP-482")
def unknown_header_tags(b: Bench) -> None:
    line = b.line()
    header = struct.pack(">hhihBBB3s", 3, 9, 1, -1, 1, 9, 3, b"abc")
    line.send_frame(header + bytes([1, 0, 0, 0, 0]))
    expect("topics", b.answer(METADATA, 9, line, 1).topics, [])


@contract("FRAME-028 a tag larger than the frame closes the connection", "KIP-482")
def tag_beyond(b: Bench) -> None:
    header = struct.pack(">hhihB", 3, 9, 1, -1, 0)
    body = bytes([1, 0, 0, 0, 1, 9, 0xFF, 0xFF, 0x03])
    expect("closed", b.is_closed_by(header + body), True)
    expect("a new connection is served", b.lives(), True)


@contract("FRAME-029 only the last of several requests being malformed, the ones before are answered", SOCKETS)
def answered_before_closing(b: Bench) -> None:
    line = b.line()
    number = b.send(API_VERSIONS, 0, line)
    b.answer(API_VERSIONS, 0, line, number)
    line.send_frame(struct.pack(">hhihi", 3, 1, 9, -1, 3))
    expect("closed", line.is_closed(), True)


@contract("FRAME-030 an array count below -1 is taken for null or empty, or closes: no harm is done", SOCKETS)
def count_of_minus_two(b: Bench) -> None:
    line = b.line()
    line.send_frame(struct.pack(">hhihi", METADATA, 1, 1, -1, -2))
    line.half_close()
    expect("a new connection is served", b.lives(), True)


@contract(
    "FRAME-031 a string that is not UTF-8 does not close the connection", "Kafka: Type.STRING, new String(bytes, UTF_8)"
)
def not_utf8(b: Bench) -> None:
    line = b.line()
    line.send_frame(struct.pack(">hhihih2sB", METADATA, 4, 1, -1, 1, 2, b"\xff\xfe", 0))
    expect("error", b.answer(METADATA, 4, line, 1).topics[0].error_code, 17)


@contract("FRAME-032 an end of the client's half is no reason to withhold what is owed", SOCKETS)
def half_closed(b: Bench) -> None:
    line = b.line()
    number = b.send(API_VERSIONS, 0, line)
    line.half_close()
    expect("error", b.answer(API_VERSIONS, 0, line, number).error_code, 0)
    expect("closed", line.is_closed(), True)


@contract("FRAME-033 tags out of order do no harm: they are read, or their connection is closed", "KIP-482")
def tags_unordered(b: Bench) -> None:
    line = b.line()
    header = struct.pack(">hhihB", METADATA, 9, 1, -1, 0)
    line.send_frame(header + bytes([1, 0, 0, 0, 2, 9, 0, 8, 0]))
    line.half_close()
    expect("a new connection is served", b.lives(), True)


@contract("FRAME-040 ApiVersions of a version from the future is answered in version 0 with error 35", "KIP-511")
def api_versions_99(b: Bench) -> None:
    _, response = messages_of(API_VERSIONS)
    ranges = b.advertised()
    for version in (ranges[API_VERSIONS][1] + 1, 99, 32767):
        line = b.line()
        line.send_frame(struct.pack(">hhihB", API_VERSIONS, version, 5, -1, 0) + bytes([2, 97, 2, 49, 0]))
        frame = line.receive_frame()
        expect("correlation id", frame[:4], struct.pack(">i", 5))
        answer, end = decode(response, 0, memoryview(frame), 4)
        expect("bytes of the answer", end, len(frame))
        expect(f"error for version {version}", answer.error_code, 35)
        own = [(e.min_version, e.max_version) for e in answer.api_keys if e.api_key == API_VERSIONS]
        expect("the range of ApiVersions", own, [ranges[API_VERSIONS]])
        expect("the connection serves on", b.ask(API_VERSIONS, 0, line).error_code, 0)


@contract(
    "FRAME-041 ApiVersions of version -1 is answered in version 0 with error 35",
    "Kafka: ApiVersionsRequest, RequestContext",
)
def api_versions_minus_one(b: Bench) -> None:
    _, response = messages_of(API_VERSIONS)
    line = b.line()
    line.send_frame(struct.pack(">hhih", API_VERSIONS, -1, 5, -1))
    frame = line.receive_frame()
    answer, _ = decode(response, 0, memoryview(frame), 4)
    expect("error", answer.error_code, 35)


@contract(
    "FRAME-042 ApiVersions 99 with a classic header closes the connection",
    "Kafka: RequestHeader.parse, header version 2",
)
def api_versions_99_classic(b: Bench) -> None:
    expect("closed", b.is_closed_by(struct.pack(">hhih", API_VERSIONS, 99, 5, -1)), True)


@contract(
    "FRAME-043 a Produce with acks=0 and a bad batch closes the connection", "Kafka: KafkaApis.handleProduceRequest"
)
def acks_zero(b: Bench) -> None:
    topic = b.topic()
    line = b.line()
    batch = b.batch(b"x")
    batch[-1] ^= 1
    data = [{"name": topic, "partition_data": [{"index": 0, "records": bytes(batch)}]}]
    b.send(PRODUCE, 9, line, acks=0, timeout_ms=1000, topic_data=data)
    expect("closed", line.is_closed(), True)


@contract("FRAME-044 a response header is flexible where the body is, but never for ApiVersions", "KIP-511, KIP-482")
def response_headers(b: Bench) -> None:
    b.ask(API_VERSIONS, 3, client_software_name="a", client_software_version="1")
    b.ask(DESCRIBE_CLUSTER, 0)
    b.ask(FIND_COORDINATOR, 3, key="g")
    b.ask(METADATA, 8, topics=[])
    b.ask(METADATA, 9, topics=[])
