"""The leaves of an organization's audit tree.

A leaf is RFC 8785 canonical JSON of

    {"v": 1, "org_id", "seq", "id", "action", "entity_type", "entity_id", "user_id"|null,
     "actor": {"type", "id", "credential_id"?, "delegation_path"?}, "ip_address"|null, "request_id"|null,
     "metadata": {…}, "created_at"}

`seq` is the leaf's position in the tree from 0; `created_at` is when it happened, ISO 8601 in UTC to the millisecond with
`+00:00`. There are no floating-point numbers. The bytes are stored once and hashed as they are stored: SHA-256(0x00 || leaf)
(RFC 6962 §2.1). `seq` is known last, so a leaf waits for it in two pieces.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import rfc8785

VERSION = 1

MAX_INTEGER = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exactly (RFC 8785 §3.2.2.3)."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted. `type` is `api_key`, `agent`, `operator` or `system`."""

    type: str
    id: str
    credential_id: str | None = None
    delegation_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, before it has its place in the tree."""

    id: str
    org_id: str
    action: str
    entity_type: str
    entity_id: str
    user_id: str | None
    actor: Actor
    ip_address: str | None
    request_id: str | None
    metadata: dict[str, Any]
    """JSON values without floats; whole numbers within MAX_INTEGER."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place, None while it waits for one."""

    event: Event
    seq: int | None
    leaf_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """A leaf without its seq: what stands before and behind it."""

    head: bytes
    tail: bytes

    def at(self, seq: int) -> bytes:
        """The leaf."""
        return b'%b"seq":%d,%b' % (self.head, seq, self.tail)


def canonical(value: object) -> bytes:
    """RFC 8785 canonical JSON of values without floats."""
    # orjson writes the same bytes for everything in ASCII, fifty times as fast; beyond it, only the order of keys can differ
    # (RFC 8785 sorts by UTF-16 code units).
    fast = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return fast if fast.isascii() else rfc8785.dumps(value)  # pyright: ignore[reportArgumentType]


def pieces(event: Event) -> Pieces:
    """The event's leaf, but for its seq. Canonical order puts `seq` between `request_id` and `user_id`."""
    actor: dict[str, object] = {"type": event.actor.type, "id": event.actor.id}
    if event.actor.credential_id is not None:
        actor["credential_id"] = event.actor.credential_id
    if event.actor.delegation_path:
        actor["delegation_path"] = list(event.actor.delegation_path)
    head = canonical(
        {
            "org_id": event.org_id,
            "id": event.id,
            "action": event.action,
            "entity_type": event.entity_type,
            "entity_id": event.entity_id,
            "actor": actor,
            "ip_address": event.ip_address,
            "request_id": event.request_id,
            "metadata": event.metadata,
            "created_at": event.created_at.isoformat(timespec="milliseconds"),
        }
    )
    tail = canonical({"user_id": event.user_id, "v": VERSION})
    return Pieces(head=head[:-1] + b",", tail=tail[1:])


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962 §2.1."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def event_of(leaf: bytes) -> Event:
    """The event that a leaf tells of, with or without its seq."""
    told = orjson.loads(leaf)
    actor = told["actor"]
    return Event(
        id=told["id"],
        org_id=told["org_id"],
        action=told["action"],
        entity_type=told["entity_type"],
        entity_id=told["entity_id"],
        user_id=told["user_id"],
        actor=Actor(
            type=actor["type"],
            id=actor["id"],
            credential_id=actor.get("credential_id"),
            delegation_path=tuple(actor.get("delegation_path", ())),
        ),
        ip_address=told["ip_address"],
        request_id=told["request_id"],
        metadata=told["metadata"],
        created_at=datetime.fromisoformat(told["created_at"]),
    )
