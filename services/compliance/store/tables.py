"""The tables that management calls read and write. The hot statements of the audit log are written by hand, in `intake` and `sequencing`."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text

_metadata = MetaData()

baa_templates = Table(
    "baa_templates",
    _metadata,
    Column("version", Text, primary_key=True),
    Column("title", Text),
    Column("sha256", Text),
    Column("body_markdown", Text),
    Column("effective_at", DateTime(timezone=True)),
    Column("required_from", DateTime(timezone=True)),
    Column("term_days", Integer),
)

baa_acceptances = Table(
    "baa_acceptances",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("template_version", Text),
    Column("template_sha256", Text),
    Column("signer_name", Text),
    Column("signer_title", Text),
    Column("signer_email", Text),
    Column("signed_at", DateTime(timezone=True)),
    Column("countersigned_at", DateTime(timezone=True)),
    Column("countersigned_by", Text),
    Column("effective_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("ip_address", Text),
    Column("audit_entry_id", Text),
)

audit_entries = Table(
    "audit_entries",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("seq", BigInteger),
    Column("action", Text),
    Column("entity_type", Text),
    Column("entity_id", Text),
    Column("actor_id", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("leaf", LargeBinary),
    Column("leaf_hash", LargeBinary),
)

audit_intake = Table(
    "audit_intake",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("action", Text),
    Column("entity_type", Text),
    Column("entity_id", Text),
    Column("actor_id", Text),
    Column("created_at", DateTime(timezone=True)),
    Column("head", LargeBinary),
    Column("tail", LargeBinary),
)
