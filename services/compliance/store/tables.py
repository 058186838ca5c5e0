"""The tables that management calls read and write. The hot statements of the audit log are written by hand, in `intake` and `sequencing`."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

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

baa_documents = Table(
    "baa_documents",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("acceptance_id", Text, primary_key=True),
    Column("sha256", Text),
    Column("pdf", LargeBinary),
    Column("created_at", DateTime(timezone=True)),
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

audit_times = Table(
    "audit_times",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("newest_at", DateTime(timezone=True)),
    Column("disorder", Interval),
)

audit_trees = Table("audit_trees", _metadata, Column("org_id", Text, primary_key=True), Column("size", BigInteger))

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

webhook_endpoints = Table(
    "webhook_endpoints",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("app_id", Text),
    Column("url", Text),
    Column("events", ARRAY(Text)),
    Column("description", Text),
    Column("is_active", Boolean),
    Column("failing_since", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
)

webhook_secrets = Table(
    "webhook_secrets",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("endpoint_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("sealed", LargeBinary),
    Column("expires_at", DateTime(timezone=True)),
)

webhook_lanes = Table(
    "webhook_lanes",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("endpoint_id", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True)),
    Column("leased_until", DateTime(timezone=True)),
    Column("epoch", BigInteger),
    Column("silent", Integer),
    Column("rests_until", DateTime(timezone=True)),
)

webhook_events = Table(
    "webhook_events",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("event", Text),
    Column("occurred_at", DateTime(timezone=True)),
    Column("sealed", LargeBinary),
    Column("created_at", DateTime(timezone=True)),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("endpoint_id", Text),
    Column("event_id", Text),
    Column("event", Text),
    Column("status", Text),
    Column("attempts", Integer),
    Column("last_status", Integer),
    Column("first_attempt_at", DateTime(timezone=True)),
    Column("due_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("delivered_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
)

webhook_positions = Table(
    "webhook_positions",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger),
)
