-- ULIDs begin with 48 bits of milliseconds in Crockford's base 32: a month is a range of them.
CREATE FUNCTION lowest_ulid(at timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    ms bigint := floor(extract(epoch FROM at) * 1000);
    text_form text := '';
BEGIN
    FOR i IN 0..9 LOOP
        text_form := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', ((ms >> (5 * i)) & 31)::integer + 1, 1) || text_form;
    END LOOP;
    RETURN text_form || repeat('0', 16);
END $$;

-- The months from `at` on as partitions of the journal and the settlements. With the owner's rights: the program may not change the schema but by this
-- one door. A month that has rows in the rest already stays there. A new partition waits for every statement on its parent and lets none pass meanwhile:
-- where that takes long it is left for the next time, months ahead of its need.
CREATE FUNCTION make_ledger_partitions(at timestamptz, months integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    first timestamptz;
    parent text;
    name text;
BEGIN
    FOR i IN 0..least(months, 24) - 1 LOOP
        first := (date_trunc('month', at AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        FOREACH parent IN ARRAY ARRAY['entries', 'settlements'] LOOP
            name := parent || '_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
            CONTINUE WHEN to_regclass(name) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent,
                    lowest_ulid(first),
                    lowest_ulid((first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
                -- Row triggers come from the parent, statement triggers do not.
                EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I '
                    'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
            EXCEPTION WHEN check_violation OR duplicate_table OR lock_not_available THEN
                NULL;
            END;
        END LOOP;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION make_ledger_partitions FROM PUBLIC;
