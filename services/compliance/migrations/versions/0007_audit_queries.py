"""What questions to the audit log need: an index by the entity's type, and how far the order of entries is from that of the time."""

from alembic import op

from services.chassis.migrations.tables import grant_app, tenant

revision = "0007"
down_revision = "0006"

FILL_IN = """
INSERT INTO audit_times (org_id, newest_at, disorder)
SELECT org_id, max(newest), max(newest - created_at)
  FROM (SELECT org_id, created_at, max(created_at) OVER (PARTITION BY org_id ORDER BY seq) AS newest FROM audit_entries) AS entries
 GROUP BY org_id
"""


def upgrade() -> None:
    op.execute("CREATE INDEX audit_entries_type ON audit_entries (org_id, entity_type, seq)")
    _create_times()


def _create_times() -> None:
    # Entries lie in the order in which they arrived. `disorder` is the longest that one happened before an entry that lies in front of
    # it. So none lies behind an entry that happened more than `disorder` later, nor in front of one that happened more than `disorder`
    # earlier: a span of time becomes a span of seq.
    op.execute(
        """
        CREATE TABLE audit_times (
            org_id text PRIMARY KEY,
            newest_at timestamptz NOT NULL,
            disorder interval NOT NULL CHECK (disorder >= interval '0')
        )
        """
    )
    tenant(op, "audit_times")
    grant_app(op, "audit_times", "SELECT, INSERT, UPDATE")
    # A trigger, and not the sequencer: it holds for every program that writes entries, the one of before this migration too.
    op.execute(
        """
        CREATE FUNCTION note_audit_times() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO audit_times AS times (org_id, newest_at, disorder)
            SELECT entries.org_id, greatest(max(newest), max(known.newest_at)),
                   greatest(max(newest - created_at), max(known.newest_at) - min(created_at))
              FROM (SELECT org_id, created_at, max(created_at) OVER (PARTITION BY org_id ORDER BY seq) AS newest FROM fresh) AS entries
              LEFT JOIN audit_times AS known USING (org_id)
             GROUP BY entries.org_id
            ON CONFLICT (org_id) DO UPDATE
               SET newest_at = greatest(times.newest_at, EXCLUDED.newest_at), disorder = greatest(times.disorder, EXCLUDED.disorder);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER note_times AFTER INSERT ON audit_entries REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION note_audit_times()"
    )
    op.execute("SELECT set_config('hasp.org_id', '*', true)")
    op.execute(FILL_IN)
