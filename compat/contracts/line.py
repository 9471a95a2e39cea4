"""One raw connection: frames out, frames in, and whether the broker closes it."""

from __future__ import annotations

import socket
import struct
from typing import Any

from compat.wire import address_of
from kbroker.wire.codec import decode, encode
from protocol_specs.grammar import Message
from protocol_specs.headers import RequestHeader, ResponseHeader, request_header_version, response_header_version

TIMEOUT_S = 15.0
#: The largest answer that any contract can cause, and then some.
ANSWER_BYTES_MAX = 256 << 20


class ConnectionClosed(Exception):
    """The broker ended the connection where an answer was due."""


class NoAnswer(Exception):
    """Nothing came in time, or something that is no answer to the request."""


class Line:
    """A connection to a broker. Requests are numbered from 1; answers must come in that order."""

    def __init__(self, bootstrap: str, client_id: str | None) -> None:
        self.client_id = client_id
        self.correlation_id = 0
        self._socket = socket.create_connection(address_of(bootstrap), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """End it; harmless twice."""
        self._socket.close()

    def send_bytes(self, data: bytes) -> None:
        """Raw bytes. A broker that closed already may make this fail: that is seen when reading."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def send_frame(self, frame: bytes) -> None:
        """Bytes with their size before them."""
        self.send_bytes(struct.pack(">i", len(frame)) + frame)

    def frame(self, message: Message, version: int, request: Any, *, header_version: int | None = None) -> bytes:
        """Header and body of a request, numbered as the next one."""
        self.correlation_id += 1
        assert message.key is not None, f"{message.name} is no request"
        if header_version is None:
            header_version = request_header_version(message.is_flexible(version))
        header = RequestHeader(
            request_api_key=message.key,
            request_api_version=version,
            correlation_id=self.correlation_id,
            client_id=self.client_id,
        )
        return encode(RequestHeader, header_version, header) + encode(message, version, request)

    def send(self, message: Message, version: int, request: Any) -> int:
        """Send a request; its correlation id."""
        self.send_frame(self.frame(message, version, request))
        return self.correlation_id

    def receive_frame(self, timeout_s: float = TIMEOUT_S) -> bytes:
        """The next frame without its size. Raises ConnectionClosed, NoAnswer."""
        (size,) = struct.unpack(">i", self._exactly(4, timeout_s))
        if not 4 <= size <= ANSWER_BYTES_MAX:
            raise NoAnswer(f"a frame of {size} bytes")
        return self._exactly(size, timeout_s)

    def receive(self, response: Message, version: int, correlation_id: int, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to a request: the right number, decoded, nothing left over."""
        frame = self.receive_frame(timeout_s)
        flexible = response.is_flexible(version)
        header_version = response_header_version(response.key, flexible)
        header, position = decode(ResponseHeader, header_version, memoryview(frame))
        if header.correlation_id != correlation_id:
            raise NoAnswer(f"correlation id {header.correlation_id} where {correlation_id} was due")
        answer, end = decode(response, version, memoryview(frame), position)
        if end != len(frame):
            raise NoAnswer(f"{len(frame) - end} bytes behind the answer")
        return answer

    def is_silent(self, for_s: float) -> bool:
        """Does nothing at all come, not even an end, for this long?"""
        self._socket.settimeout(for_s)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False
        return False

    def is_closed(self, within_s: float = TIMEOUT_S) -> bool:
        """Does the broker end the connection in that time without sending another byte?"""
        self._socket.settimeout(within_s)
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def _exactly(self, count: int, timeout_s: float) -> bytes:
        self._socket.settimeout(timeout_s)
        data = bytearray()
        while len(data) < count:
            try:
                some = self._socket.recv(count - len(data))
            except TimeoutError:
                raise NoAnswer(f"{len(data)} of {count} bytes came in {timeout_s} s") from None
            except ConnectionResetError:
                some = b""
            if not some:
                raise ConnectionClosed(f"after {len(data)} of {count} bytes")
            data += some
        return bytes(data)
