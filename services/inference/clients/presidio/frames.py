"""What travels between the service and a worker: a length, a kind, a payload."""

import socket
import struct

from services.inference.domain.phi.spans import Span

HEAD = struct.Struct("!IB")
DEADLINE = struct.Struct("!d")  # in front of a PDF, on the monotonic clock that all processes share
DETECT, PDF, FAILED, READY, FORK, ANONYMIZE = 1, 2, 3, 4, 5, 6
WireSpan = tuple[int, int, str, float, str]


def pack(kind: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload), kind) + payload


def receive(connection: socket.socket) -> tuple[int, bytes] | None:
    """One frame of a blocking socket, None when the other side has gone."""
    head = _exactly(connection, HEAD.size)
    if head is None:
        return None
    length, kind = HEAD.unpack(head)
    payload = _exactly(connection, length)
    return None if payload is None else (kind, payload)


def to_wire(span: Span) -> WireSpan:
    return span.start, span.end, span.entity_type, span.score, span.recognizer


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    buffer = bytearray()
    while len(buffer) < length:
        piece = connection.recv(min(length - len(buffer), 1 << 20))
        if not piece:
            return None
        buffer += piece
    return bytes(buffer)
