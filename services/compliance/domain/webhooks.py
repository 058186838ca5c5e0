"""Webhook endpoints, what they want to hear of, and the events they are told.

The body of a delivery is RFC 8785 canonical JSON, made once and the same for every endpoint and every try:

    {"id", "event", "app_id"|null, "entity_key"|null, "timestamp", "data": {…}}

`timestamp` is when it happened, ISO 8601 with `+00:00`. For an audit entry `data` is

    {"entity_type", "entity_id", "seq", "actor": {"type", "id", "credential_id"|null, "delegation_path"}, "user_id"|null,
     "request_id"|null, "metadata", "integrity_hash"}
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import iso
from services.compliance.domain.event_names import SUBSCRIBABLE, patterns_of
from services.compliance.domain.leaves import Entry, canonical

MAX_ENDPOINTS = 50
"""Of one organization."""
MAX_BODY = 256 * 1024
"""Bytes of what is published. An audit entry has its own limit."""
MAX_SECRETS = 10
"""That sign at a time: each is a signature more in a header."""
OVERLAP = timedelta(days=7)
"""How long a secret goes on signing after it was replaced."""
KEPT = timedelta(days=30)
"""How long a delivery can be seen and replayed after it has ended."""


class Status(StrEnum):
    """Of a delivery. The last two have ended."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD = "dead"


ENDED = (Status.DELIVERED, Status.DEAD)


@dataclass(frozen=True, slots=True)
class WantedEndpoint:
    """What is asked for. Raises ValidationFailed. That its URL may be called is judged elsewhere."""

    url: str
    events: tuple[str, ...]
    app_id: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        for number, name in enumerate(self.events):
            if name not in SUBSCRIBABLE:
                raise ValidationFailed("There is no such event.", param=f"events[{number}]")
        for param, text in (("app_id", self.app_id), ("description", self.description)):
            # It is shown where endpoints are listed: no line breaks, no control or bidirectional marks.
            if text is not None and not text.isprintable():
                raise ValidationFailed("It is one line of printable text.", param=param)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events are delivered to. `events` are names, `agent.*` for a group, `*` for all; `app_id` None: of any application and of none."""

    id: str
    app_id: str | None
    url: str
    events: tuple[str, ...]
    description: str | None
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    event: str
    status: Status
    attempts: int
    last_status: int | None
    """HTTP status of the last try; None where there was no answer."""
    next_attempt_at: datetime | None
    """None when it has ended."""
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that endpoints may want to hear of."""

    id: str
    event: str
    at: datetime
    data: dict[str, Any]
    """JSON values without floats."""
    app_id: str | None = None
    entity_key: str | None = None
    published: bool = False

    @property
    def key(self) -> str:
        """Its id in the store. Whoever publishes chooses an id, and must not take an audit entry's place with it."""
        return f"published/{self.id}" if self.published else self.id

    def body(self) -> bytes:
        return canonical(
            {
                "id": self.id,
                "event": self.event,
                "app_id": self.app_id,
                "entity_key": self.entity_key,
                "timestamp": iso(self.at),
                "data": self.data,
            }
        )


def audited(entry: Entry) -> Occurrence:
    """What is told of an audit entry that has its place: all of it but the caller's address."""
    event = entry.event
    if entry.leaf_hash is None:
        raise ValueError("an entry is told of when it has its place")
    data = {
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "seq": entry.seq,
        "actor": {
            "type": event.actor.type,
            "id": event.actor.id,
            "credential_id": event.actor.credential_id,
            "delegation_path": list(event.actor.delegation_path),
        },
        "user_id": event.user_id,
        "request_id": event.request_id,
        "metadata": event.metadata,
        "integrity_hash": entry.leaf_hash.hex(),
    }
    return Occurrence(event.id, event.action, event.created_at, data, entity_key=event.entity_id)


class Audience:
    """Who wants what, of some endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._by_event: dict[str, list[Endpoint]] = {}

    def of(self, occurrence: Occurrence) -> list[str]:
        """The ids of the endpoints that want it: registered when it happened, subscribed, and of its application or of all."""
        subscribed = self._by_event.get(occurrence.event)
        if subscribed is None:
            patterns = frozenset(patterns_of(occurrence.event))
            subscribed = [each for each in self._endpoints if each.is_active and not patterns.isdisjoint(each.events)]
            self._by_event[occurrence.event] = subscribed
        return [
            each.id
            for each in subscribed
            if each.created_at <= occurrence.at and each.app_id in (None, occurrence.app_id)
        ]


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64, as Standard Webhooks writes a symmetric key."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def registered(now: datetime) -> datetime:
    """When an endpoint is registered. Audit entries know milliseconds: what happens in this one is told."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
