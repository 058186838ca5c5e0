"""The signed agreements as PDF: made once, with the signature, and never again."""

from alembic import op

from services.chassis.migrations.tables import append_only, grant_app, tenant

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Beside the acceptances and not in them: those that were signed before have none until somebody asks for it.
    op.execute(
        """
        CREATE TABLE baa_documents (
            org_id text NOT NULL,
            acceptance_id text NOT NULL,
            sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
            pdf bytea NOT NULL CHECK (sha256 = encode(sha256(pdf), 'hex')),
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, acceptance_id),
            FOREIGN KEY (org_id, acceptance_id) REFERENCES baa_acceptances
        )
        """
    )
    # A PDF is compressed already.
    op.execute("ALTER TABLE baa_documents ALTER COLUMN pdf SET STORAGE EXTERNAL")
    append_only(op, "baa_documents")
    tenant(op, "baa_documents")
    grant_app(op, "baa_documents", "SELECT, INSERT")
