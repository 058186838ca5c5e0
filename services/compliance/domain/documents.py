"""What the document of a signed agreement says, before anybody sets it: the text, and the record of both signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.compliance.domain.agreements import Acceptance, Template
from services.compliance.domain.clauses import Block, parse

LANGUAGE = "en-US"
"""Of the texts."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the record. `value` may hold text that a person typed: it is set as it is, never read as markup."""

    label: str
    value: str
    fixed_width: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the record with a heading of its own."""

    title: str
    rows: Sequence[Row]


RECORD_TITLE = "Signatures"
RECORD_NOTE = (
    "The parties signed the agreement above electronically. This page is the operator's record of it and no part of the agreement's text."
    " The SHA-256 of the text is that of its Markdown source in UTF-8, as the service shows it at GET /v1/compliance/baa."
)
CODE_POINTS_NOTE = "U+ and a number stand for the Unicode character with that code point, which the typefaces of this document do not have."


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    version: str
    acceptance_id: str
    text: Sequence[Block]
    record: Sequence[Part]
    made_at: datetime

    @property
    def reference(self) -> str:
        """Stands on every page."""
        return f"Version {self.version}  ·  Acceptance {self.acceptance_id}"


def filename(version: str, acceptance_id: str) -> str:
    return f"baa-{version}-{acceptance_id}.pdf"


def document(
    template: Template, acceptance: Acceptance, *, organization: str, deployment: str, made_at: datetime
) -> Document:
    """Of a signature under that text; `organization` and `deployment` name the parties. Raises ValueError when the signature is under another one."""
    if (template.version, template.sha256) != (acceptance.template_version, acceptance.template_sha256):
        raise ValueError("the signature is under another text")
    return Document(
        title=template.title,
        version=template.version,
        acceptance_id=acceptance.id,
        text=parse(template.body_markdown),
        record=(
            _covered_entity(acceptance, organization),
            _business_associate(acceptance, deployment),
            _agreement(acceptance),
        ),
        made_at=made_at,
    )


def moment(at: datetime) -> str:
    """As a person reads it, to the second."""
    return f"{at:%B} {at.day}, {at:%Y, %H:%M:%S} UTC"


def _covered_entity(acceptance: Acceptance, organization: str) -> Part:
    rows = (
        Row("Organization", organization),
        Row("Organization's id", acceptance.org_id, fixed_width=True),
        Row("Signed by", acceptance.signer_name),
        Row("Title", acceptance.signer_title),
        Row("E-mail", acceptance.signer_email),
        Row("Signed on", moment(acceptance.signed_at)),
        Row("Network address", acceptance.ip_address or "not recorded"),
    )
    return Part("For the Covered Entity", rows)


def _business_associate(acceptance: Acceptance, deployment: str) -> Part:
    rows = (
        Row("Deployment", deployment),
        Row("Countersigned by", acceptance.countersigned_by),
        Row("Countersigned on", moment(acceptance.countersigned_at)),
    )
    return Part("For the Business Associate", rows)


def _agreement(acceptance: Acceptance) -> Part:
    rows = (
        Row("Acceptance", acceptance.id, fixed_width=True),
        Row("Version of the text", acceptance.template_version),
        Row("SHA-256 of the text", acceptance.template_sha256, fixed_width=True),
        Row("Effective", moment(acceptance.effective_at)),
        Row("Expires", moment(acceptance.expires_at) if acceptance.expires_at else "no fixed date"),
    )
    return Part("Agreement", rows)
