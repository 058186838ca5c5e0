"""Business Associate Agreements: the texts that can be signed, the signatures, and the first text."""

import hashlib
from pathlib import Path

import sqlalchemy
from alembic import op

from services.chassis.migrations.tables import append_only, grant_app, tenant

revision = "0002"
down_revision = "0001"

_TEXT = Path(__file__).resolve().parent.parent.parent / "templates" / "2026-04-01.md"
# A text that has been signed never changes: another text is another version.
_SHA256 = "b2be4c35c1f928ae842f8c8ed8e632f696899271af96023ae3096dae6ddd8388"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE baa_templates (
            version text PRIMARY KEY,
            title text NOT NULL,
            sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
            body_markdown text NOT NULL,
            effective_at timestamptz NOT NULL,
            required_from timestamptz CHECK (required_from >= effective_at),
            term_days integer CHECK (term_days > 0)
        )
        """
    )
    append_only(op, "baa_templates")
    grant_app(op, "baa_templates", "SELECT")
    op.execute(
        """
        CREATE TABLE baa_acceptances (
            org_id text NOT NULL,
            id text NOT NULL,
            template_version text NOT NULL REFERENCES baa_templates,
            template_sha256 text NOT NULL,
            signer_name text NOT NULL,
            signer_title text NOT NULL,
            signer_email text NOT NULL,
            signed_at timestamptz NOT NULL,
            countersigned_at timestamptz NOT NULL,
            countersigned_by text NOT NULL,
            effective_at timestamptz NOT NULL,
            expires_at timestamptz,
            ip_address text,
            audit_entry_id text NOT NULL,
            PRIMARY KEY (org_id, id)
        )
        """
    )
    append_only(op, "baa_acceptances")
    tenant(op, "baa_acceptances")
    grant_app(op, "baa_acceptances", "SELECT, INSERT")
    _insert_first_text()


def _insert_first_text() -> None:
    body = _TEXT.read_bytes()
    if hashlib.sha256(body).hexdigest() != _SHA256:
        raise ValueError(f"{_TEXT.name} is not the text that was published under its version")
    op.execute(
        sqlalchemy.text(
            "INSERT INTO baa_templates (version, title, sha256, body_markdown, effective_at, required_from)"
            " VALUES ('2026-04-01', 'Business Associate Agreement', :sha256, :body, '2026-04-01T00:00:00Z', '2026-04-01T00:00:00Z')"
        ).bindparams(sha256=_SHA256, body=body.decode())
    )
