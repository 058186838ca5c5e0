"""What the audit log takes in. An event that breaks these rules is refused whole; nothing is mended."""

import re

from services.chassis.errors import ValidationFailed
from services.chassis.ulids import is_ulid
from services.compliance.domain.leaves import Event, Pieces

ACTOR_TYPES = frozenset({"api_key", "agent", "operator", "system"})
MAX_NAME = 100
"""Characters of an action, an entity's type and id, an actor's id."""
MAX_LEAF = 256 * 1024
"""Bytes. The revocation of a root credential lists its whole cascade."""

_ACTION = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")


def check(event: Event) -> None:
    """Raises ValidationFailed whose `param` is the event's field."""
    if not is_ulid(event.id):
        raise ValidationFailed("An event's id is a ULID.", param="id")
    if not is_ulid(event.org_id):
        raise ValidationFailed("An event belongs to an organization.", param="org_id")
    if len(event.action) > MAX_NAME or not _ACTION.fullmatch(event.action):
        raise ValidationFailed("An action reads as `api_key.created`.", param="action")
    if event.actor.type not in ACTOR_TYPES:
        raise ValidationFailed("The actor's type is not known.", param="actor_type")
    for param, text in (
        ("entity_type", event.entity_type),
        ("entity_id", event.entity_id),
        ("actor_id", event.actor.id),
    ):
        # PostgreSQL has no NUL in text.
        if not 0 < len(text) <= MAX_NAME or "\x00" in text:
            raise ValidationFailed(f"It has 1 to {MAX_NAME} characters.", param=param)


def check_size(pieces: Pieces) -> None:
    """Raises ValidationFailed."""
    if len(pieces.head) > MAX_LEAF:
        raise ValidationFailed(f"An event has at most {MAX_LEAF} bytes.", param="metadata")
