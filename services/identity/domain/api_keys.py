"""API keys: what they are, and who may make which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.chassis.access import OrgId
from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import parse_iso
from services.identity.domain.errors import ScopeEscalation
from services.identity.domain.tokens import Format

SCOPES = frozenset(
    {
        "ai:chat",
        "ai:documents",
        "ai:embeddings",
        "ai:summarize",
        "control:read",
        "control:write",
        "control:webhooks",
    }
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    org_id: OrgId
    id: str
    user_id: str
    name: str
    prefix: str
    last_four: str
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class WantedKey:
    """What a new key shall be. Raises ValidationFailed for a scope that does not exist."""

    name: str
    scopes: Sequence[str]
    expires_at: datetime | None = None
    form: Format = Format.WA_LIVE

    def __post_init__(self) -> None:
        for index, scope in enumerate(self.scopes):
            if scope not in SCOPES:
                raise ValidationFailed("There is no such scope.", param=f"scopes[{index}]")
            if scope in self.scopes[:index]:
                raise ValidationFailed("The scope is named twice.", param=f"scopes[{index}]")

    def check_held(self, held: Collection[str]) -> None:
        """Raises ScopeEscalation unless the creator holds every scope itself."""
        missing = set(self.scopes) - set(held)
        if missing:
            raise ScopeEscalation(missing)


def form_of(text: str) -> Format:
    """The default form for the empty text. Raises ValidationFailed."""
    try:
        return Format(text) if text else Format.WA_LIVE
    except ValueError:
        raise ValidationFailed("There is no such format.", param="format") from None


def expiry_of(text: str | None, now: datetime) -> datetime | None:
    """None for a key without expiry. Raises ValidationFailed for anything but a moment after `now`, in ISO 8601 with offset."""
    if text is None:
        return None
    try:
        expires_at = parse_iso(text)
    except ValueError:
        raise ValidationFailed("expires_at is not ISO 8601 with an offset.", param="expires_at") from None
    if expires_at <= now:
        raise ValidationFailed("expires_at is not in the future.", param="expires_at")
    return expires_at
