-- Adds new settlements to the sums by day, in the settlements' own statement, whoever writes them. The sums are of accounts that the statement has
-- locked: nobody waits in a circle.
CREATE FUNCTION add_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_days AS known
        (org_id, cycle_start, day, model, principal_id, agent_id, requests, input_tokens, output_tokens, credits)
    SELECT org_id, cycle_start, (occurred_at AT TIME ZONE 'UTC')::date, model, principal_id, agent_id, count(*),
           sum(input_tokens + cache_read_tokens + cache_write_tokens), sum(output_tokens), sum(credits)
    FROM booked GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (org_id, day, cycle_start, model, principal_id, agent_id) DO UPDATE
    SET requests = known.requests + excluded.requests, input_tokens = known.input_tokens + excluded.input_tokens,
        output_tokens = known.output_tokens + excluded.output_tokens, credits = known.credits + excluded.credits;
    RETURN NULL;
END $$;

CREATE TRIGGER add_usage AFTER INSERT ON settlements REFERENCING NEW TABLE AS booked
FOR EACH STATEMENT EXECUTE FUNCTION add_usage();

-- What was settled before. The owner is bound by row-level security too.
SET LOCAL hasp.org_id = '*';
INSERT INTO usage_days (org_id, cycle_start, day, model, principal_id, agent_id, requests, input_tokens, output_tokens, credits)
SELECT org_id, cycle_start, (occurred_at AT TIME ZONE 'UTC')::date, model, principal_id, agent_id, count(*),
       sum(input_tokens + cache_read_tokens + cache_write_tokens), sum(output_tokens), sum(credits)
FROM settlements GROUP BY 1, 2, 3, 4, 5, 6;
