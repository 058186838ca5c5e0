-- A batch of requests, sorted by organization, that were never dispatched (`release`) or whose owner has not been heard of (`expire`): their holds end.
-- A release that arrives before its reservation leaves an entry of nothing, so that the reservation is not made any more.
-- Returns how many holds ended.
CREATE FUNCTION release(org_ids text[], request_ids text[], why text, at timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := coalesce(array_length(org_ids, 1), 0);
    i integer := 1;
    ended integer := 0;
    org text;
    account record;
    hold record;
    held numeric;
    half_second bigint := floor(extract(epoch FROM at) * 2);
    token_counts bigint[];
    token_slot bigint;
    tokens_touched boolean;
    slot integer;
BEGIN
    WHILE i <= n LOOP
        org := org_ids[i];
        SELECT a.reserved, a.cycle_start, p.tokens_per_minute INTO account
        FROM accounts a JOIN plans p ON p.id = a.plan WHERE a.org_id = org FOR UPDATE OF a;
        IF NOT FOUND THEN
            i := i + 1;
            CONTINUE;
        END IF;
        held := account.reserved;
        tokens_touched := false;
        IF account.tokens_per_minute IS NOT NULL THEN
            SELECT w.counts, w.slot INTO token_counts, token_slot FROM window_counts(org, 'tokens', half_second, 121) w;
        END IF;
        WHILE i <= n AND org_ids[i] = org LOOP
            -- An owner that renewed meanwhile keeps its hold.
            DELETE FROM reservations r
            WHERE r.org_id = org AND r.request_id = request_ids[i] AND (why = 'release' OR r.expires_at <= at)
            RETURNING r.cycle_start, r.bound, r.tokens, r.token_slot INTO hold;
            IF FOUND THEN
                ended := ended + 1;
                held := held - hold.bound;
                INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, reserved, booked_at)
                VALUES (org, request_ids[i], why, hold.cycle_start, hold.bound, -hold.bound, at);
                IF account.tokens_per_minute IS NOT NULL THEN
                    slot := 121 - (token_slot - hold.token_slot);
                    IF slot BETWEEN 1 AND 121 THEN
                        token_counts[slot] := greatest(0, token_counts[slot] - hold.tokens);
                        tokens_touched := true;
                    END IF;
                END IF;
            ELSIF why = 'release'
                AND NOT EXISTS (SELECT FROM entries e WHERE e.org_id = org AND e.entry_id = request_ids[i]) THEN
                INSERT INTO entries (org_id, entry_id, kind, cycle_start, booked_at)
                VALUES (org, request_ids[i], 'release', account.cycle_start, at);
            END IF;
            i := i + 1;
        END LOOP;
        IF tokens_touched THEN
            PERFORM window_save(org, 'tokens', token_slot, token_counts);
        END IF;
        IF held <> account.reserved THEN
            UPDATE accounts a SET reserved = held WHERE a.org_id = org;
        END IF;
    END LOOP;
    RETURN ended;
END $$;
