"""Records that expire: they may be deleted, conversations know that they outlived a part of themselves, and empty months go."""

from alembic import op

from services.chassis.migrations import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    tables.grant_app(op, "records", "DELETE")
    # Set while the map of placeholders may still hold values of messages that are gone.
    op.execute("ALTER TABLE conversations ADD COLUMN outlived boolean NOT NULL DEFAULT false")
    op.execute("CREATE INDEX conversations_outlived ON conversations (org_id, conversation_id) WHERE outlived")
    _empty_months()


def _empty_months() -> None:
    # With the owner's rights, as `make_record_partitions`. Whoever waits for a lock on `records` makes everybody wait behind it:
    # it is asked for only where a month looks empty, and not for long. The parent comes before its partition, as for every reader.
    op.execute(
        """
        CREATE FUNCTION drop_empty_record_partitions(before timestamptz) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
        DECLARE
            month regclass;
            filled boolean;
            dropped integer := 0;
        BEGIN
            FOR month IN
                SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                 WHERE inhparent = 'records'::regclass AND relname ~ '^records_[0-9]{6}$'
                   AND to_date(right(relname, 6), 'YYYYMM') + interval '1 month' < before AT TIME ZONE 'UTC'
            LOOP
                EXECUTE format('SELECT EXISTS (SELECT FROM %s)', month) INTO filled;
                CONTINUE WHEN filled;
                BEGIN
                    LOCK TABLE ONLY records IN ACCESS EXCLUSIVE MODE;
                    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', month);
                    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', month) INTO filled;
                    CONTINUE WHEN filled;
                    EXECUTE format('DROP TABLE %s', month);
                    dropped := dropped + 1;
                EXCEPTION WHEN lock_not_available OR undefined_table THEN
                    -- Busy, or another replica was first. There is a next time.
                    NULL;
                END;
            END LOOP;
            RETURN dropped;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION drop_empty_record_partitions FROM PUBLIC")
    op.execute(f'GRANT EXECUTE ON FUNCTION drop_empty_record_partitions TO "{tables.app_role(op)}"')
