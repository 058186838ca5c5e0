"""Signed checkpoints of the audit log's trees, and the hashes that proofs are made of."""

import hashlib

from alembic import op
from sqlalchemy import text

from services.chassis.migrations.tables import append_only, grant_app, tenant

revision = "0004"
down_revision = "0003"

_TILE = 8


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE audit_nodes (
            org_id text NOT NULL,
            level smallint NOT NULL CHECK (level > 0),
            index bigint NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (org_id, level, index)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE audit_checkpoints (
            org_id text NOT NULL,
            tree_size bigint NOT NULL CHECK (tree_size > 0),
            root_hash bytea NOT NULL,
            note text NOT NULL,
            created_at timestamptz NOT NULL,
            head_seq bigint,
            head_hash bytea,
            PRIMARY KEY (org_id, tree_size)
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX audit_checkpoints_head ON audit_checkpoints (head_seq)")
    op.execute("CREATE INDEX audit_checkpoints_created ON audit_checkpoints (org_id, created_at)")
    for table in ("audit_nodes", "audit_checkpoints"):
        append_only(op, table)
        tenant(op, table)
        grant_app(op, table, "SELECT, INSERT")
    op.execute("ALTER TABLE audit_trees ADD COLUMN frontier bytea")
    _fill_in()
    op.execute("ALTER TABLE audit_trees ALTER COLUMN frontier SET NOT NULL")


def _fill_in() -> None:
    """Trees that have grown already. The sequencer signs for them when it next leads."""
    connection = op.get_bind()
    connection.execute(text("SELECT set_config('hasp.org_id', '*', true)"))
    for (org_id,) in connection.execute(text("SELECT org_id FROM audit_trees ORDER BY org_id")).fetchall():
        frontier: list[bytes] = []
        nodes: list[dict[str, object]] = []
        rows = connection.execute(
            text("SELECT seq, leaf_hash FROM audit_entries WHERE org_id = :org_id ORDER BY seq"), {"org_id": org_id}
        )
        for seq, leaf_hash in rows:
            hashed, level, index = bytes(leaf_hash), 0, seq
            while index & 1:
                hashed = hashlib.sha256(b"\x01" + frontier.pop() + hashed).digest()
                level, index = level + 1, index >> 1
                if level % _TILE == 0:
                    nodes.append({"org_id": org_id, "level": level, "index": index, "hash": hashed})
            frontier.append(hashed)
        if nodes:
            connection.execute(
                text("INSERT INTO audit_nodes (org_id, level, index, hash) VALUES (:org_id, :level, :index, :hash)"),
                nodes,
            )
        connection.execute(
            text("UPDATE audit_trees SET frontier = :frontier WHERE org_id = :org_id"),
            {"org_id": org_id, "frontier": b"".join(frontier)},
        )
