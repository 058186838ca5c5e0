-- A batch of settlements, sorted by organization, no request twice: each is booked exactly once and ends its reservation. Locks and snapshots as in `reserve`.
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
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(org_ids);
    i integer := 1;
    org text;
    account record;
    cycle record;           -- the one that is charged
    before text[];          -- of each settlement: why it is not to be booked
    hold_cycles timestamptz[];
    hold_bounds numeric[];
    hold_tokens bigint[];
    hold_slots bigint[];
    occurred timestamptz;
    held numeric;
    cost numeric;
    over numeric;           -- the part of the cost beyond the allotment
    half_second bigint := floor(extract(epoch FROM at) * 2);
    token_counts bigint[];
    token_slot bigint;
    tokens_touched boolean;
    slot integer;
    given numeric;
    booked integer[] := '{}';
    booked_cycles timestamptz[] := '{}';
    booked_at timestamptz[] := '{}';
    entry_orgs text[] := '{}';
    entry_ids text[] := '{}';
    entry_kinds text[] := '{}';
    entry_cycles timestamptz[] := '{}';
    entry_allotments numeric[] := '{}';
    entry_overages numeric[] := '{}';
    entry_reserveds numeric[] := '{}';
    entry_useds numeric[] := '{}';
BEGIN
    PERFORM FROM accounts a WHERE a.org_id = ANY (org_ids) ORDER BY a.org_id FOR UPDATE;
    before := ARRAY(
        SELECT CASE WHEN a.org_id IS NULL THEN 'no account' WHEN at >= a.cycle_end THEN 'cycle over'
                    -- Asked of the journal, which has no index but its key: on a partition that is still empty a plan may take any index, and
                    -- keep it. And not by EXISTS, which may be planned as a hash of the whole table.
                    ELSE (SELECT 'repeated' FROM entries e WHERE e.org_id = told.org AND e.entry_id = told.request AND e.kind = 'settle')
               END
        FROM unnest(org_ids, request_ids) WITH ORDINALITY AS told (org, request, n) LEFT JOIN accounts a ON a.org_id = told.org
        ORDER BY told.n
    );
    WITH gone AS (
        DELETE FROM reservations r USING unnest(org_ids, request_ids, before) WITH ORDINALITY AS told (org, request, why, n)
        WHERE r.org_id = told.org AND r.request_id = told.request AND told.why IS NULL
        RETURNING told.n, r.cycle_start, r.bound, r.tokens, r.token_slot
    ), each AS (
        -- By place, so that a plain subscript finds the hold of a settlement.
        SELECT g.place, max(g.cycle_start) AS cycle_start, max(g.bound) AS bound, max(g.tokens) AS tokens, max(g.token_slot) AS slot
        FROM (
            SELECT gone.n::integer AS place, gone.cycle_start, gone.bound, gone.tokens, gone.token_slot FROM gone
            UNION ALL SELECT p, NULL, NULL, NULL, NULL FROM generate_series(1, n) AS p
        ) AS g
        GROUP BY g.place
    )
    SELECT array_agg(e.cycle_start ORDER BY e.place), array_agg(e.bound ORDER BY e.place), array_agg(e.tokens ORDER BY e.place),
           array_agg(e.slot ORDER BY e.place)
    INTO hold_cycles, hold_bounds, hold_tokens, hold_slots FROM each e;

    WHILE i <= n LOOP
        org := org_ids[i];
        late := false;
        IF before[i] IN ('no account', 'cycle over') THEN
            status := before[i];
            place := i;
            RETURN NEXT;
            i := i + 1;
            CONTINUE;
        END IF;
        SELECT a.cycle_start, a.reserved, a.spend_cap, a.alert_thresholds, p.tokens_per_minute
        INTO STRICT account FROM accounts a JOIN plans p ON p.id = a.plan WHERE a.org_id = org;
        SELECT c.* INTO STRICT cycle FROM cycles c WHERE c.org_id = org AND c.cycle_start = account.cycle_start;
        held := account.reserved;
        tokens_touched := false;
        IF account.tokens_per_minute IS NOT NULL THEN
            SELECT w.counts, w.slot INTO token_counts, token_slot FROM window_counts(org, 'tokens', half_second, 121) w;
        END IF;

        WHILE i <= n AND org_ids[i] = org LOOP
            place := i;
            late := false;
            status := before[i];
            IF status IS NULL THEN
                IF hold_bounds[i] IS NULL THEN
                    late := NOT undelivereds[i];
                ELSE
                    held := held - hold_bounds[i];
                    IF account.tokens_per_minute IS NOT NULL THEN
                        -- The window held the bound; from now on it holds what was used.
                        slot := 121 - (token_slot - hold_slots[i]);
                        IF slot BETWEEN 1 AND 121 THEN
                            token_counts[slot] := greatest(0, token_counts[slot] - hold_tokens[i] + CASE WHEN undelivereds[i]
                                THEN 0 ELSE inputs[i] + outputs[i] + cache_reads[i] + cache_writes[i] END);
                            tokens_touched := true;
                        END IF;
                    END IF;
                END IF;

                IF undelivereds[i] THEN
                    status := 'released';
                    cost := 0;
                    over := 0;
                ELSE
                    status := 'booked';
                    -- A clock ahead of ours does not reach into the next cycle; what is older than the account belongs to its first.
                    occurred := least(occurreds[i], at);
                    IF (CASE WHEN occurred >= account.cycle_start THEN cycle.cycle_start <> account.cycle_start
                             ELSE occurred < cycle.cycle_start OR occurred >= cycle.cycle_end END) THEN
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
                    booked := booked || i;
                    booked_cycles := booked_cycles || cycle.cycle_start;
                    booked_at := booked_at || occurred;
                END IF;

                -- One entry where the hold and the use are of one cycle; else the hold goes back by an entry of its own.
                IF undelivereds[i] OR hold_cycles[i] <> cycle.cycle_start THEN
                    entry_orgs := entry_orgs || org;
                    entry_ids := entry_ids || request_ids[i];
                    entry_kinds := entry_kinds || 'release'::text;
                    entry_cycles := entry_cycles || coalesce(hold_cycles[i], account.cycle_start);
                    entry_allotments := entry_allotments || coalesce(hold_bounds[i], 0);
                    entry_overages := entry_overages || 0::numeric;
                    entry_reserveds := entry_reserveds || -coalesce(hold_bounds[i], 0);
                    entry_useds := entry_useds || 0::numeric;
                END IF;
                IF NOT undelivereds[i] THEN
                    entry_orgs := entry_orgs || org;
                    entry_ids := entry_ids || request_ids[i];
                    entry_kinds := entry_kinds || 'settle'::text;
                    entry_cycles := entry_cycles || cycle.cycle_start;
                    IF hold_cycles[i] = cycle.cycle_start THEN
                        entry_allotments := entry_allotments || hold_bounds[i] - (cost - over);
                        entry_reserveds := entry_reserveds || -hold_bounds[i];
                    ELSE
                        entry_allotments := entry_allotments || -(cost - over);
                        entry_reserveds := entry_reserveds || 0::numeric;
                    END IF;
                    entry_overages := entry_overages || -over;
                    entry_useds := entry_useds || cost;
                END IF;
            END IF;
            RETURN NEXT;
            i := i + 1;
        END LOOP;

        UPDATE cycles c SET used = cycle.used WHERE c.org_id = org AND c.cycle_start = cycle.cycle_start;
        IF tokens_touched THEN
            PERFORM window_save(org, 'tokens', token_slot, token_counts);
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

    INSERT INTO settlements (org_id, request_id, cycle_start, occurred_at, principal_id, agent_id, model,
        catalogue_version, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, credits, basis, booked_at)
    SELECT org_ids[b.i], request_ids[b.i], b.cycle, b.occurred, principal_ids[b.i], agent_ids[b.i], models[b.i],
        catalogue_versions[b.i], inputs[b.i], outputs[b.i], cache_reads[b.i], cache_writes[b.i], credits[b.i], bases[b.i], at
    FROM unnest(booked, booked_cycles, booked_at) AS b (i, cycle, occurred);
    INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, overage, reserved, used, booked_at)
    SELECT v.*, at FROM unnest(entry_orgs, entry_ids, entry_kinds, entry_cycles, entry_allotments, entry_overages,
        entry_reserveds, entry_useds) AS v
    -- An undelivered request may have been released before.
    ON CONFLICT DO NOTHING;
END $$;
