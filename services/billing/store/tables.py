"""The tables that management calls read and write. The hot calls' are in metering.py."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
)

metadata = MetaData()

catalogues = Table(
    "catalogues",
    metadata,
    Column("version", Text, primary_key=True),
    Column("document", LargeBinary),
    Column("seen_at", DateTime(timezone=True)),
)

plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("catalogue_version", Text),
    Column("credits_per_cycle", Numeric),
    Column("requests_per_minute", BigInteger),
    Column("requests_per_day", BigInteger),
    Column("tokens_per_minute", BigInteger),
)

accounts = Table(
    "accounts",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("plan", Text),
    Column("next_plan", Text),
    Column("anchor", DateTime(timezone=True)),
    Column("cycle_start", DateTime(timezone=True)),
    Column("cycle_end", DateTime(timezone=True)),
    Column("reserved", Numeric),
    Column("spend_cap", Numeric),
    Column("alert_thresholds", ARRAY(Integer)),
    Column("opus_enabled", Boolean),
)

cycles = Table(
    "cycles",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("cycle_start", DateTime(timezone=True), primary_key=True),
    Column("cycle_end", DateTime(timezone=True)),
    Column("plan", Text),
    Column("allotment", Numeric),
    Column("adjustments", Numeric),
    Column("overage", Numeric),
    Column("used", Numeric),
)

entries = Table(
    "entries",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("cycle_start", DateTime(timezone=True)),
    Column("source", Numeric),
    Column("adjustment", Numeric),
    Column("allotment", Numeric),
    Column("overage", Numeric),
    Column("reserved", Numeric),
    Column("used", Numeric),
    Column("reason", Text),
    Column("booked_at", DateTime(timezone=True)),
)

settlements = Table(
    "settlements",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("cycle_start", DateTime(timezone=True)),
    Column("occurred_at", DateTime(timezone=True)),
    Column("principal_id", Text),
    Column("agent_id", Text),
    Column("model", Text),
    Column("catalogue_version", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("credits", Numeric),
    Column("basis", Text),
    Column("booked_at", DateTime(timezone=True)),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("cycle_start", DateTime(timezone=True), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("principal_id", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("requests", BigInteger),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("credits", Numeric),
)

threshold_crossings = Table(
    "threshold_crossings",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("cycle_start", DateTime(timezone=True), primary_key=True),
    Column("threshold", Integer, primary_key=True),
    Column("used", Numeric),
    Column("limit", Numeric),
    Column("crossed_at", DateTime(timezone=True)),
    Column("announced_at", DateTime(timezone=True)),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("reconciled_at", DateTime(timezone=True), primary_key=True),
    Column("since", DateTime(timezone=True)),
    Column("checked", BigInteger),
    Column("found", ARRAY(Text)),
)
