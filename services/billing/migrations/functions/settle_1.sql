-- A batch of settlements, sorted by organization: each is booked exactly once and ends its reservation.
--
-- A settlement belongs to the cycle in which the request ended; the hold goes back to the cycle it was taken from. `late`: there was no reservation
-- to end any more. It is booked all the same: money is never lost.
-- status: `booked`, `repeated` (booked before), `released` (undelivered: nothing to book), `no account`, `cycle over` (roll over and tell again).
CREATE FUNCTION settle(
    org_ids text[], request_ids text[], principal_ids text[], agent_ids text[], models text[], catalogue_versions text[],
    inputs bigint[], outputs bigint[], cache_reads bigint[], cache_writes bigint[], credits numeric[], bases text[],
    occurreds timestamptz[], undelivereds boolean[], at timestamptz
)
RETURNS TABLE (place integer, status text, late boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := coalesce(array_length(org_ids, 1), 0);
    i integer := 1;
    org text;
    request text;
    account record;
    plan record;
    cycle record;           -- the one that is charged
    hold record;
    occurred timestamptz;
    held numeric;
    cost numeric;
    over numeric;           -- the part of the cost beyond the allotment
    half_second bigint := floor(extract(epoch FROM at) * 2);
    token record;
    tokens_touched boolean;
    slot integer;
    given numeric;
BEGIN
    WHILE i <= n LOOP
        org := org_ids[i];
        late := false;
        SELECT a.* INTO account FROM accounts a WHERE a.org_id = org FOR UPDATE;
        IF NOT FOUND OR at >= account.cycle_end THEN
            status := CASE WHEN account IS NULL THEN 'no account' ELSE 'cycle over' END;
            WHILE i <= n AND org_ids[i] = org LOOP
                place := i;
                RETURN NEXT;
                i := i + 1;
            END LOOP;
            CONTINUE;
        END IF;
        SELECT p.* INTO STRICT plan FROM plans p WHERE p.id = account.plan;
        SELECT c.* INTO STRICT cycle FROM cycles c WHERE c.org_id = org AND c.cycle_start = account.cycle_start;
        held := account.reserved;
        tokens_touched := false;
        IF plan.tokens_per_minute IS NOT NULL THEN
            SELECT * INTO token FROM window_counts(org, 'tokens', half_second, 121);
        END IF;

        WHILE i <= n AND org_ids[i] = org LOOP
            place := i;
            request := request_ids[i];
            late := false;
            IF EXISTS (SELECT FROM settlements s WHERE s.org_id = org AND s.request_id = request) THEN
                status := 'repeated';
                RETURN NEXT;
                i := i + 1;
                CONTINUE;
            END IF;

            DELETE FROM reservations r WHERE r.org_id = org AND r.request_id = request
            RETURNING r.cycle_start, r.bound, r.tokens, r.token_slot INTO hold;
            IF FOUND THEN
                held := held - hold.bound;
                IF plan.tokens_per_minute IS NOT NULL THEN
                    -- The window held the bound; from now on it holds what was used.
                    slot := 121 - (token.slot - hold.token_slot);
                    IF slot BETWEEN 1 AND 121 THEN
                        token.counts[slot] := greatest(0, token.counts[slot] - hold.tokens + CASE WHEN undelivereds[i] THEN 0
                            ELSE inputs[i] + outputs[i] + cache_reads[i] + cache_writes[i] END);
                        tokens_touched := true;
                    END IF;
                END IF;
            ELSE
                late := NOT undelivereds[i];
            END IF;

            IF undelivereds[i] THEN
                INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, reserved, booked_at)
                VALUES (org, request, 'release', coalesce(hold.cycle_start, account.cycle_start),
                        coalesce(hold.bound, 0), -coalesce(hold.bound, 0), at)
                ON CONFLICT DO NOTHING;
                status := 'released';
                RETURN NEXT;
                i := i + 1;
                CONTINUE;
            END IF;

            -- A clock ahead of ours does not reach into the next cycle; what is older than the account belongs to its first.
            occurred := least(occurreds[i], at);
            IF occurred >= account.cycle_start THEN
                IF cycle.cycle_start <> account.cycle_start THEN
                    UPDATE cycles c SET used = cycle.used WHERE c.org_id = org AND c.cycle_start = cycle.cycle_start;
                    SELECT c.* INTO STRICT cycle FROM cycles c WHERE c.org_id = org AND c.cycle_start = account.cycle_start;
                END IF;
            ELSIF occurred < cycle.cycle_start OR occurred >= cycle.cycle_end THEN
                UPDATE cycles c SET used = cycle.used WHERE c.org_id = org AND c.cycle_start = cycle.cycle_start;
                SELECT c.* INTO cycle FROM cycles c WHERE c.org_id = org AND c.cycle_start <= occurred
                ORDER BY c.cycle_start DESC LIMIT 1;
                IF NOT FOUND THEN
                    SELECT c.* INTO STRICT cycle FROM cycles c WHERE c.org_id = org ORDER BY c.cycle_start LIMIT 1;
                    occurred := cycle.cycle_start;
                END IF;
            END IF;

            cost := credits[i];
            over := greatest(0, cycle.used + cost - cycle.allotment) - greatest(0, cycle.used - cycle.allotment);
            cycle.used := cycle.used + cost;
            INSERT INTO settlements (org_id, request_id, cycle_start, occurred_at, principal_id, agent_id, model,
                catalogue_version, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, credits, basis, booked_at)
            VALUES (org, request, cycle.cycle_start, occurred, principal_ids[i], agent_ids[i], models[i],
                catalogue_versions[i], inputs[i], outputs[i], cache_reads[i], cache_writes[i], cost, bases[i], at);
            IF hold.cycle_start = cycle.cycle_start THEN
                INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, overage, reserved, used, booked_at)
                VALUES (org, request, 'settle', cycle.cycle_start, hold.bound - (cost - over), -over, -hold.bound, cost, at);
            ELSE
                IF hold.cycle_start IS NOT NULL THEN
                    INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, reserved, booked_at)
                    VALUES (org, request, 'release', hold.cycle_start, hold.bound, -hold.bound, at);
                END IF;
                INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, overage, used, booked_at)
                VALUES (org, request, 'settle', cycle.cycle_start, -(cost - over), -over, cost, at);
            END IF;
            status := 'booked';
            RETURN NEXT;
            i := i + 1;
        END LOOP;

        UPDATE cycles c SET used = cycle.used WHERE c.org_id = org AND c.cycle_start = cycle.cycle_start;
        IF tokens_touched THEN
            PERFORM window_save(org, 'tokens', token.slot, token.counts);
        END IF;
        IF held <> account.reserved THEN
            UPDATE accounts a SET reserved = held WHERE a.org_id = org;
        END IF;
        IF cardinality(account.alert_thresholds) > 0 THEN
            SELECT c.* INTO STRICT cycle FROM cycles c WHERE c.org_id = org AND c.cycle_start = account.cycle_start;
            given := least(account.spend_cap, cycle.allotment + cycle.overage);
            INSERT INTO threshold_crossings (org_id, cycle_start, threshold, used, "limit", crossed_at)
            SELECT org, cycle.cycle_start, t, cycle.used, given, at FROM unnest(account.alert_thresholds) t
            WHERE given > 0 AND cycle.used * 100 >= given * t
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
END $$;
