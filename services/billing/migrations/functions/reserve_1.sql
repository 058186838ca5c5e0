-- A batch of demands, sorted by organization and principal, none of them twice. Every account row is locked first, in that order, so that no two batches
-- wait for each other in a circle; what follows reads in snapshots taken after the locks, so that it sees whatever the holder before committed. Rows are
-- read and written for the whole batch at a time; in between is arithmetic only.
--
-- status: `held` (also when it was held before), `counted` (count_only), `refused`, `ended` (released or settled before),
--         `no account`, `cycle over` (nothing was judged: roll the account over and ask again).
CREATE FUNCTION reserve(
    org_ids text[], request_ids text[], principal_ids text[], bounds numeric[], token_bounds bigint[],
    count_onlys boolean[], opuses boolean[], at timestamptz, expires timestamptz
)
RETURNS TABLE (
    place integer, status text, opus_not_enabled boolean, rate_limited boolean, exhausted boolean, free_at numeric,
    cycle_end timestamptz, requests_limit bigint, requests_left bigint, requests_reset numeric,
    tokens_limit bigint, tokens_left bigint, tokens_reset numeric
)
LANGUAGE plpgsql
-- Always by the keys' indexes, whatever the statistics of tables whose rows live for seconds say.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(org_ids);
    i integer := 1;
    org text;
    principal text;
    account record;
    given numeric;          -- what may be used in the cycle
    held numeric;           -- what running requests hold
    bound numeric;
    tokens bigint;
    day_limit bigint;
    seconds numeric := extract(epoch FROM at);
    half_second bigint := floor(seconds * 2);
    ten_minutes bigint := floor(seconds / 600);
    minute_counts bigint[]; -- requests of the key in the last minute, in half seconds
    minute_slot bigint;
    minute_empty numeric;   -- when the window is empty if nothing follows
    day_counts bigint[];    -- requests of the key in the last day, in ten minutes
    day_slot bigint;
    token_counts bigint[];  -- tokens of the organization in the last minute, in half seconds
    token_slot bigint;
    token_empty numeric;
    in_minute bigint;
    in_day bigint;
    in_tokens bigint;
    touched boolean;
    tokens_touched boolean;
    before text[];          -- of each demand: what its entries say already
    new_orgs text[] := '{}';
    new_requests text[] := '{}';
    new_cycles timestamptz[] := '{}';
    new_bounds numeric[] := '{}';
    new_tokens bigint[] := '{}';
    new_slots bigint[] := '{}';
BEGIN
    PERFORM FROM accounts a WHERE a.org_id = ANY (org_ids) ORDER BY a.org_id FOR UPDATE;
    before := ARRAY(
        SELECT CASE WHEN asked.count_only THEN NULL ELSE (
            SELECT CASE WHEN bool_and(e.kind = 'reserve') THEN 'held' ELSE 'ended' END
            FROM entries e WHERE e.org_id = asked.org AND e.entry_id = asked.request HAVING count(*) > 0
        ) END
        FROM unnest(org_ids, request_ids, count_onlys) WITH ORDINALITY AS asked (org, request, count_only, n) ORDER BY asked.n
    );

    WHILE i <= n LOOP
        org := org_ids[i];
        SELECT a.cycle_start, a.cycle_end, a.reserved, a.spend_cap, a.opus_enabled, c.allotment, c.overage, c.used,
               p.requests_per_minute, p.requests_per_day, p.tokens_per_minute
        INTO account
        FROM accounts a JOIN cycles c ON c.org_id = a.org_id AND c.cycle_start = a.cycle_start JOIN plans p ON p.id = a.plan
        WHERE a.org_id = org;
        IF NOT FOUND OR at >= account.cycle_end THEN
            status := CASE WHEN account IS NULL THEN 'no account' ELSE 'cycle over' END;
            WHILE i <= n AND org_ids[i] = org LOOP
                place := i;
                RETURN NEXT;
                i := i + 1;
            END LOOP;
            CONTINUE;
        END IF;
        given := least(account.spend_cap, account.allotment + account.overage);
        held := account.reserved;
        cycle_end := account.cycle_end;
        requests_limit := account.requests_per_minute;
        day_limit := account.requests_per_day;
        tokens_limit := account.tokens_per_minute;
        tokens_touched := false;
        token_slot := NULL;
        IF tokens_limit IS NOT NULL THEN
            SELECT w.counts, w.slot INTO token_counts, token_slot FROM window_counts(org, 'tokens', half_second, 121) w;
            in_tokens := (SELECT sum(c) FROM unnest(token_counts) c);
            token_empty := greatest(seconds, window_empty_at(token_counts, token_slot, 0.5));
        END IF;

        WHILE i <= n AND org_ids[i] = org LOOP
            principal := principal_ids[i];
            touched := false;
            IF requests_limit IS NOT NULL THEN
                SELECT w.counts, w.slot INTO minute_counts, minute_slot
                FROM window_counts(org, 'minute ' || principal, half_second, 121) w;
                in_minute := (SELECT sum(c) FROM unnest(minute_counts) c);
                minute_empty := greatest(seconds, window_empty_at(minute_counts, minute_slot, 0.5));
            END IF;
            IF day_limit IS NOT NULL THEN
                SELECT w.counts, w.slot INTO day_counts, day_slot
                FROM window_counts(org, 'day ' || principal, ten_minutes, 145) w;
                in_day := (SELECT sum(c) FROM unnest(day_counts) c);
            END IF;

            WHILE i <= n AND org_ids[i] = org AND principal_ids[i] = principal LOOP
                place := i;
                bound := bounds[i];
                tokens := CASE WHEN count_onlys[i] THEN 0 ELSE token_bounds[i] END;
                opus_not_enabled := opuses[i] AND NOT account.opus_enabled;
                rate_limited := false;
                exhausted := false;
                free_at := NULL;
                status := before[i];

                IF status IS NULL THEN
                    IF in_minute >= requests_limit THEN
                        rate_limited := true;
                        free_at := window_frees(minute_counts, minute_slot, 0.5, requests_limit, 1);
                    END IF;
                    IF in_day >= day_limit THEN
                        rate_limited := true;
                        free_at := greatest(free_at, window_frees(day_counts, day_slot, 600, day_limit, 1));
                    END IF;
                    -- More than a whole minute's tokens pass when nothing else was used.
                    IF tokens > 0 AND in_tokens > 0 AND in_tokens + tokens > tokens_limit THEN
                        rate_limited := true;
                        free_at := greatest(free_at, window_frees(token_counts, token_slot, 0.5, tokens_limit, tokens));
                    END IF;
                    -- The single last request may pass the limit, when nothing else runs.
                    exhausted := NOT count_onlys[i] AND NOT (
                        account.used + held + bound <= given OR (held = 0 AND account.used < given)
                    );

                    IF NOT opus_not_enabled AND NOT rate_limited THEN
                        touched := true;
                        IF requests_limit IS NOT NULL THEN
                            minute_counts[121] := minute_counts[121] + 1;
                            in_minute := in_minute + 1;
                            minute_empty := (minute_slot + 121) * 0.5;
                        END IF;
                        IF day_limit IS NOT NULL THEN
                            day_counts[145] := day_counts[145] + 1;
                            in_day := in_day + 1;
                        END IF;
                    END IF;

                    IF opus_not_enabled OR rate_limited OR exhausted THEN
                        status := 'refused';
                    ELSIF count_onlys[i] THEN
                        status := 'counted';
                    ELSE
                        status := 'held';
                        held := held + bound;
                        IF tokens_limit IS NOT NULL THEN
                            token_counts[121] := token_counts[121] + tokens;
                            in_tokens := in_tokens + tokens;
                            token_empty := (token_slot + 121) * 0.5;
                            tokens_touched := true;
                        END IF;
                        new_orgs := new_orgs || org;
                        new_requests := new_requests || request_ids[i];
                        new_cycles := new_cycles || account.cycle_start;
                        new_bounds := new_bounds || bound;
                        new_tokens := new_tokens || tokens;
                        new_slots := new_slots || coalesce(token_slot, half_second);
                    END IF;
                END IF;

                requests_left := greatest(0, requests_limit - in_minute);
                requests_reset := minute_empty;
                tokens_left := greatest(0, tokens_limit - in_tokens);
                tokens_reset := token_empty;
                RETURN NEXT;
                i := i + 1;
            END LOOP;

            IF touched AND requests_limit IS NOT NULL THEN
                PERFORM window_save(org, 'minute ' || principal, minute_slot, minute_counts);
            END IF;
            IF touched AND day_limit IS NOT NULL THEN
                PERFORM window_save(org, 'day ' || principal, day_slot, day_counts);
            END IF;
        END LOOP;

        IF tokens_touched THEN
            PERFORM window_save(org, 'tokens', token_slot, token_counts);
        END IF;
        IF held <> account.reserved THEN
            UPDATE accounts a SET reserved = held WHERE a.org_id = org;
        END IF;
    END LOOP;

    INSERT INTO reservations (org_id, request_id, cycle_start, bound, tokens, token_slot, expires_at)
    SELECT v.*, expires FROM unnest(new_orgs, new_requests, new_cycles, new_bounds, new_tokens, new_slots) AS v;
    INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, reserved, booked_at)
    SELECT v.org, v.request, 'reserve', v.cycle, -v.bound, v.bound, at
    FROM unnest(new_orgs, new_requests, new_cycles, new_bounds) AS v (org, request, cycle, bound);
END $$;
