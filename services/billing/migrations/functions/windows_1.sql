-- Sliding windows of equal slots. A window is one slot longer than its period, so that no period of that length, wherever it begins, sees more than
-- the limit; what that costs is one slot in 121 (a minute of half seconds) or in 145 (a day of ten minutes).

-- The counts as of slot `now_slot`: slots that have passed out are gone, new ones are zero. A clock that went back changes nothing.
CREATE FUNCTION window_counts(org text, what text, now_slot bigint, size integer, OUT counts bigint[], OUT slot bigint)
LANGUAGE plpgsql AS $$
DECLARE
    shift bigint;
BEGIN
    SELECT w.counts, w.slot INTO counts, slot FROM windows w WHERE w.org_id = org AND w.subject = what FOR UPDATE;
    IF NOT FOUND OR now_slot - slot >= size THEN
        counts := array_fill(0::bigint, ARRAY[size]);
        slot := now_slot;
        RETURN;
    END IF;
    shift := now_slot - slot;
    IF shift > 0 THEN
        counts := counts[shift + 1:size] || array_fill(0::bigint, ARRAY[shift::integer]);
        slot := now_slot;
    END IF;
END $$;

CREATE FUNCTION window_save(org text, what text, now_slot bigint, now_counts bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO windows AS w (org_id, subject, slot, counts) VALUES (org, what, now_slot, now_counts)
    ON CONFLICT (org_id, subject) DO UPDATE SET slot = excluded.slot, counts = excluded.counts
$$;

-- Seconds since the epoch at which `wanted` more fit under `most`: when enough of the oldest slots have passed out.
CREATE FUNCTION window_frees(counts bigint[], slot bigint, width numeric, most bigint, wanted bigint) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    size integer := array_length(counts, 1);
    total bigint := (SELECT sum(c) FROM unnest(counts) c);
BEGIN
    FOR i IN 1..size LOOP
        total := total - counts[i];
        -- More than the whole limit fits once nothing is left.
        IF total + wanted <= most OR total = 0 THEN
            RETURN (slot + i) * width;
        END IF;
    END LOOP;
    RETURN (slot + size) * width;
END $$;

-- Seconds since the epoch at which the window is empty when nothing is added.
CREATE FUNCTION window_empty_at(counts bigint[], slot bigint, width numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT (slot + coalesce((SELECT max(i) FROM unnest(counts) WITH ORDINALITY AS c (n, i) WHERE n > 0), 0)) * width
$$;
