"""Business Associate Agreements (45 CFR 164.504(e)): what is signed, and when a signature admits inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.chassis.errors import ValidationFailed


class Status(StrEnum):
    """Where an organization, or one of its signatures, stands."""

    ACTIVE = "active"
    UNSIGNED = "unsigned"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Edition:
    """A version of the agreement, without its text."""

    version: str
    effective_at: datetime
    """It can be signed from here on."""
    required_from: datetime | None
    """Signatures of earlier editions count until here; None: they go on counting."""


@dataclass(frozen=True, slots=True)
class Template:
    """A version of the agreement with its text. `sha256` is of the UTF-8 bytes of `body_markdown`, hex."""

    version: str
    title: str
    sha256: str
    body_markdown: str
    effective_at: datetime
    required_from: datetime | None
    term_days: int | None
    """How long a signature counts; None: until it is terminated."""

    def expiry(self, signed_at: datetime) -> datetime | None:
        return None if self.term_days is None else signed_at + timedelta(days=self.term_days)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signer declares. Raises ValidationFailed for a name that is blank or cannot be printed."""

    template_version: str
    signer_name: str
    signer_title: str
    signer_email: str

    def __post_init__(self) -> None:
        for param in ("signer_name", "signer_title", "signer_email"):
            text: str = getattr(self, param)
            # It is printed in the agreement: no line breaks, no control or bidirectional marks, no half characters.
            if not text.strip() or not all(character.isprintable() for character in text):
                raise ValidationFailed("It is one line of printable text.", param=param)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A signed and counter-signed agreement."""

    id: str
    org_id: str
    template_version: str
    template_sha256: str
    signer_name: str
    signer_title: str
    signer_email: str
    signed_at: datetime
    countersigned_at: datetime
    countersigned_by: str
    effective_at: datetime
    expires_at: datetime | None
    ip_address: str | None
    audit_entry_id: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What of a signature decides on the gate."""

    template_version: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether inference is admitted, and when an open gate closes by itself."""

    status: Status
    open: bool
    closes_at: datetime | None = None


def current(editions: Sequence[Edition], now: datetime) -> Edition:
    """The edition that can be signed: the newest in effect. Raises ValueError when none is."""
    return max(
        (edition for edition in editions if edition.effective_at <= now), key=lambda edition: edition.effective_at
    )


def gate(newest: Signed | None, editions: Sequence[Edition], now: datetime) -> Gate:
    """Judge an organization by its newest signature.

    A newer edition supersedes it at once and keeps the gate open until it is required; from then on the old signature
    has expired, as it has when its own term is over.
    """
    if newest is None:
        return Gate(Status.UNSIGNED, open=False)
    signed = next(edition for edition in editions if edition.version == newest.template_version)
    later = [edition for edition in editions if edition.effective_at > signed.effective_at]
    ends = [edition.required_from for edition in later if edition.required_from is not None]
    if newest.expires_at is not None:
        ends.append(newest.expires_at)
    closes_at = min(ends, default=None)
    if closes_at is not None and closes_at <= now:
        return Gate(Status.EXPIRED, open=False)
    superseded = any(edition.effective_at <= now for edition in later)
    return Gate(Status.SUPERSEDED if superseded else Status.ACTIVE, open=True, closes_at=closes_at)


def status_of(acceptance: Acceptance, *, newest: bool, standing: Gate, now: datetime) -> Status:
    """The status of one signature of an organization whose gate stands at `standing`."""
    if newest:
        return standing.status
    if acceptance.expires_at is not None and acceptance.expires_at <= now:
        return Status.EXPIRED
    return Status.SUPERSEDED
