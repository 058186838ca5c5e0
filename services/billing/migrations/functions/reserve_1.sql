-- A batch of demands, sorted by organization and principal. Every account row is locked once, in that order, so that no two batches wait for each other
-- in a circle; whoever holds it sees what the one before committed, because each statement in here takes a snapshot of its own.
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
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n integer := coalesce(array_length(org_ids, 1), 0);
    i integer := 1;
    org text;
    principal text;
    request text;
    account record;
    plan record;
    cycle record;
    given numeric;          -- what may be used in the cycle
    held numeric;           -- what running requests hold
    bound numeric;
    tokens bigint;
    seconds numeric := extract(epoch FROM at);
    half_second bigint := floor(seconds * 2);
    ten_minutes bigint := floor(seconds / 600);
    minute record;          -- requests of the key in the last minute, in half seconds
    day record;             -- requests of the key in the last day, in ten minutes
    token record;           -- tokens of the organization in the last minute, in half seconds
    in_minute bigint;
    in_day bigint;
    in_tokens bigint;
    touched boolean;
    tokens_touched boolean;
    kinds text[];
BEGIN
    WHILE i <= n LOOP
        org := org_ids[i];
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
        given := least(account.spend_cap, cycle.allotment + cycle.overage);
        held := account.reserved;
        cycle_end := account.cycle_end;
        requests_limit := plan.requests_per_minute;
        tokens_limit := plan.tokens_per_minute;
        tokens_touched := false;
        IF tokens_limit IS NOT NULL THEN
            SELECT * INTO token FROM window_counts(org, 'tokens', half_second, 121);
            in_tokens := (SELECT sum(c) FROM unnest(token.counts) c);
        END IF;

        WHILE i <= n AND org_ids[i] = org LOOP
            principal := principal_ids[i];
            touched := false;
            IF requests_limit IS NOT NULL THEN
                SELECT * INTO minute FROM window_counts(org, 'minute ' || principal, half_second, 121);
                in_minute := (SELECT sum(c) FROM unnest(minute.counts) c);
            END IF;
            IF plan.requests_per_day IS NOT NULL THEN
                SELECT * INTO day FROM window_counts(org, 'day ' || principal, ten_minutes, 145);
                in_day := (SELECT sum(c) FROM unnest(day.counts) c);
            END IF;

            WHILE i <= n AND org_ids[i] = org AND principal_ids[i] = principal LOOP
                place := i;
                request := request_ids[i];
                bound := bounds[i];
                tokens := CASE WHEN count_onlys[i] THEN 0 ELSE token_bounds[i] END;
                opus_not_enabled := opuses[i] AND NOT account.opus_enabled;
                rate_limited := false;
                exhausted := false;
                free_at := NULL;
                kinds := NULL;
                IF NOT count_onlys[i] THEN
                    kinds := ARRAY(SELECT e.kind FROM entries e WHERE e.org_id = org AND e.entry_id = request);
                END IF;

                IF cardinality(kinds) > 0 THEN
                    status := CASE WHEN kinds = ARRAY['reserve'] THEN 'held' ELSE 'ended' END;
                ELSE
                    IF requests_limit IS NOT NULL AND in_minute >= requests_limit THEN
                        rate_limited := true;
                        free_at := window_frees(minute.counts, minute.slot, 0.5, requests_limit, 1);
                    END IF;
                    IF plan.requests_per_day IS NOT NULL AND in_day >= plan.requests_per_day THEN
                        rate_limited := true;
                        free_at := greatest(free_at, window_frees(day.counts, day.slot, 600, plan.requests_per_day, 1));
                    END IF;
                    IF tokens_limit IS NOT NULL AND tokens > 0 AND in_tokens > 0 AND in_tokens + tokens > tokens_limit THEN
                        rate_limited := true;
                        free_at := greatest(free_at, window_frees(token.counts, token.slot, 0.5, tokens_limit, tokens));
                    END IF;
                    -- The single last request may pass the limit, when nothing else runs.
                    exhausted := NOT count_onlys[i] AND NOT (
                        cycle.used + held + bound <= given OR (held = 0 AND cycle.used < given)
                    );

                    IF NOT opus_not_enabled AND NOT rate_limited THEN
                        IF requests_limit IS NOT NULL THEN
                            minute.counts[121] := minute.counts[121] + 1;
                            in_minute := in_minute + 1;
                        END IF;
                        IF plan.requests_per_day IS NOT NULL THEN
                            day.counts[145] := day.counts[145] + 1;
                            in_day := in_day + 1;
                        END IF;
                        touched := true;
                    END IF;

                    IF opus_not_enabled OR rate_limited OR exhausted THEN
                        status := 'refused';
                    ELSIF count_onlys[i] THEN
                        status := 'counted';
                    ELSE
                        status := 'held';
                        held := held + bound;
                        IF tokens_limit IS NOT NULL THEN
                            token.counts[121] := token.counts[121] + tokens;
                            in_tokens := in_tokens + tokens;
                            tokens_touched := true;
                        END IF;
                        INSERT INTO reservations (org_id, request_id, cycle_start, bound, tokens, token_slot, expires_at)
                        VALUES (org, request, account.cycle_start, bound, tokens, half_second, expires);
                        INSERT INTO entries (org_id, entry_id, kind, cycle_start, allotment, reserved, booked_at)
                        VALUES (org, request, 'reserve', account.cycle_start, -bound, bound, at);
                    END IF;
                END IF;

                requests_left := greatest(0, requests_limit - in_minute);
                requests_reset := CASE WHEN requests_limit IS NULL THEN NULL ELSE
                    greatest(seconds, window_empty_at(minute.counts, minute.slot, 0.5)) END;
                tokens_left := greatest(0, tokens_limit - in_tokens);
                tokens_reset := CASE WHEN tokens_limit IS NULL THEN NULL ELSE
                    greatest(seconds, window_empty_at(token.counts, token.slot, 0.5)) END;
                RETURN NEXT;
                i := i + 1;
            END LOOP;

            IF touched AND requests_limit IS NOT NULL THEN
                PERFORM window_save(org, 'minute ' || principal, minute.slot, minute.counts);
            END IF;
            IF touched AND plan.requests_per_day IS NOT NULL THEN
                PERFORM window_save(org, 'day ' || principal, day.slot, day.counts);
            END IF;
        END LOOP;

        IF tokens_touched THEN
            PERFORM window_save(org, 'tokens', token.slot, token.counts);
        END IF;
        IF held <> account.reserved THEN
            UPDATE accounts a SET reserved = held WHERE a.org_id = org;
        END IF;
    END LOOP;
END $$;
