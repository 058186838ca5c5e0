"""The tables of the migrations, as far as management calls use them. The token index is read by `authentication` alone."""

from __future__ import annotations

from sqlalchemy import ARRAY, Column, DateTime, LargeBinary, MetaData, SmallInteger, Table, Text

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
