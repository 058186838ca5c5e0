"""The tables of the migrations, as far as management calls use them. The token index is read by `authentication` alone."""

from __future__ import annotations

from sqlalchemy import ARRAY, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

_metadata = MetaData()
_AT = DateTime(timezone=True)

organizations = Table(
    "organizations",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("name", Text),
    Column("plan", Text),
    Column("created_at", _AT),
)
users = Table(
    "users",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("email", Text),
    Column("name", Text),
    Column("role", Text),
    Column("created_at", _AT),
)
api_keys = Table(
    "api_keys",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("user_id", Text),
    Column("name", Text),
    Column("prefix", Text),
    Column("last_four", Text),
    Column("scopes", ARRAY(Text)),
    Column("created_at", _AT),
    Column("expires_at", _AT),
    Column("revoked_at", _AT),
    Column("last_used_at", _AT),
)
tokens = Table(
    "tokens",
    _metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("pepper_version", SmallInteger),
    Column("org_id", Text),
    Column("kind", Text),
    Column("principal_id", Text),
)
agents = Table(
    "agents",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("description", Text),
    Column("capabilities", ARRAY(Text)),
    Column("default_expiry_hours", Integer),
    Column("default_revocation_policy", Text),
    Column("allowed_scope_types", ARRAY(Text)),
    Column("created_at", _AT),
    Column("archived_at", _AT),
)
credentials = Table(
    "credentials",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("agent_id", Text),
    Column("name", Text),
    Column("description", Text),
    Column("prefix", Text),
    Column("last_four", Text),
    Column("granted_scopes", JSONB),
    Column("scope_types", ARRAY(Text)),
    Column("tool_ids", ARRAY(Text)),
    Column("covered_by", ARRAY(SmallInteger)),
    Column("delegating_user_id", Text),
    Column("parent_id", Text),
    Column("delegation_path", ARRAY(Text)),
    Column("chain_depth", SmallInteger),
    Column("expires_at", _AT),
    Column("revocation_policy", Text),
    Column("max_concurrent_invocations", Integer),
    Column("test_mode", Boolean),
    Column("created_at", _AT),
    Column("revoked_at", _AT),
    Column("revoked_with", Text),
    Column("revocation_reason", Text),
    Column("last_used_at", _AT),
)
invocations = Table(
    "invocations",
    _metadata,
    Column("org_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("credential_id", Text),
    Column("grant_no", SmallInteger),
    Column("status", Text),
    Column("outcome", Text),
    Column("created_at", _AT),
    Column("expires_at", _AT),
    Column("ended_at", _AT),
)
