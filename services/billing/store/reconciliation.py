"""The books against each other."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, insert, select, text

from services.billing.domain.reconciliation import Difference, Report
from services.billing.store.tables import accounts, reconciliations
from services.chassis.access import OrgId
from services.chassis.database import Tx

_LOCK = 0x68617370_0006
"""Of the database; any number that nobody else takes."""

# One snapshot: settlements that commit meanwhile are in all of the sums or in none. What belongs to a cycle was booked after the cycle had begun,
# or by a clock that is a little behind. Settlements are priced a second time, from the kept file alone: not by the program that priced them first.
# `prices` is materialized, or a catalogue is parsed for every settlement.
_DIFFERENCES = text(
    """
    WITH journal AS (
        SELECT org_id, cycle_start, -sum(source + adjustment) AS given, -sum(adjustment) AS adjustments,
               sum(overage) FILTER (WHERE kind = 'overage') AS packs, sum(allotment) AS allotment, sum(overage) AS overage,
               sum(reserved) AS reserved, sum(used) AS used
        FROM entries WHERE :org_id IN ('', org_id) AND cycle_start >= :since AND booked_at >= CAST(:since AS timestamptz) - interval '1 day'
        GROUP BY org_id, cycle_start
    ), held AS (
        SELECT org_id, cycle_start, sum(bound) AS reserved FROM reservations WHERE :org_id IN ('', org_id) AND cycle_start >= :since
        GROUP BY org_id, cycle_start
    ), prices AS MATERIALIZED (
        SELECT c.version, model ->> 'id' AS model, (model ->> 'credit_ratio')::numeric AS ratio,
               (file.json -> 'weights' ->> 'cache_read')::numeric AS cache_read,
               (file.json -> 'weights' ->> 'cache_write')::numeric AS cache_write
        FROM catalogues c, LATERAL (SELECT convert_from(c.document, 'UTF8')::jsonb AS json) AS file,
             LATERAL jsonb_array_elements(file.json -> 'models') AS model
    ), priced AS MATERIALIZED (
        SELECT s.org_id, s.cycle_start, s.request_id, s.credits,
               (s.input_tokens + s.output_tokens + s.cache_read_tokens * p.cache_read + s.cache_write_tokens * p.cache_write) * p.ratio AS price
        FROM settlements s LEFT JOIN prices p ON p.version = s.catalogue_version AND p.model = s.model
        WHERE :org_id IN ('', org_id) AND cycle_start >= :since AND booked_at >= CAST(:since AS timestamptz) - interval '1 day'
    ), settled AS (
        SELECT org_id, cycle_start, sum(credits) AS used, count(*) AS requests FROM priced GROUP BY org_id, cycle_start
    ), shown AS (
        SELECT org_id, cycle_start, sum(credits) AS used, sum(requests) AS requests FROM usage_days
        WHERE :org_id IN ('', org_id) AND cycle_start >= :since GROUP BY org_id, cycle_start
    ), booked AS (
        SELECT org_id, cycle_start, allotment + overage AS given, adjustments, overage, used FROM cycles
        WHERE :org_id IN ('', org_id) AND cycle_start >= :since
    ), following AS (
        SELECT c.org_id, c.cycle_start, c.cycle_end, a.cycle_start AS last,
               lead(c.cycle_start) OVER (PARTITION BY c.org_id ORDER BY c.cycle_start) AS next
        FROM cycles c JOIN accounts a USING (org_id) WHERE :org_id IN ('', c.org_id) AND c.cycle_start >= :since
    ), differences AS (
        SELECT org_id, cycle_start, v.what, '' AS request_id, v.balance, v.journal
        FROM booked FULL JOIN journal j USING (org_id, cycle_start) FULL JOIN held h USING (org_id, cycle_start)
             FULL JOIN settled s USING (org_id, cycle_start) FULL JOIN shown d USING (org_id, cycle_start),
             LATERAL (VALUES
                 ('given', coalesce(booked.given, 0), coalesce(j.given, 0)),
                 ('adjustments', coalesce(booked.adjustments, 0), coalesce(j.adjustments, 0)),
                 ('overage', coalesce(booked.overage, 0), coalesce(j.packs, 0)),
                 ('used', coalesce(booked.used, 0), coalesce(j.used, 0)),
                 ('settled', coalesce(s.used, 0), coalesce(j.used, 0)),
                 ('by day', coalesce(d.used, 0), coalesce(s.used, 0)),
                 ('requests by day', coalesce(d.requests, 0), coalesce(s.requests, 0)),
                 ('held', coalesce(h.reserved, 0), coalesce(j.reserved, 0)),
                 ('legs', 0, coalesce(j.allotment + j.overage + j.reserved + j.used - j.given, 0))
             ) AS v (what, balance, journal)
        UNION ALL
        SELECT a.org_id, NULL, 'reserved', '', a.reserved,
               coalesce((SELECT sum(r.bound) FROM reservations r WHERE r.org_id = a.org_id), 0)
        FROM accounts a WHERE :org_id IN ('', a.org_id)
        UNION ALL
        SELECT org_id, cycle_start, CASE WHEN next < cycle_end THEN 'overlap' ELSE 'gap' END, '', 0, 1
        FROM following WHERE coalesce(next <> cycle_end, cycle_start <> last)
        UNION ALL
        SELECT org_id, cycle_start, 'price', request_id, credits, price FROM priced WHERE credits IS DISTINCT FROM price
    )
    SELECT org_id, cycle_start, what, request_id, balance, journal FROM differences WHERE balance IS DISTINCT FROM journal
    ORDER BY org_id, cycle_start, what, request_id LIMIT 1000
    """
)


async def differences(tx: Tx, org_id: OrgId | None, *, since: datetime | None = None) -> tuple[int, list[Difference]]:
    """How many accounts there are, and what differs in them, a thousand at most.

    None: all organizations; all cycles, else those that began at `since` or later.
    """
    wanted = select(func.count()).select_from(accounts)
    if org_id is not None:
        wanted = wanted.where(accounts.c.org_id == org_id)
    checked = (await tx.execute(wanted)).scalar_one()
    rows = await tx.execute(_DIFFERENCES, {"org_id": org_id or "", "since": since or "-infinity"})
    return checked, [Difference(**row) for row in rows.mappings()]


async def take_turn(tx: Tx) -> bool:
    """Whether this transaction is the one that reconciles; it is until it ends."""
    return (await tx.execute(select(func.pg_try_advisory_xact_lock(_LOCK)))).scalar_one()


async def find_last(tx: Tx) -> Report | None:
    """The newest report."""
    newest = select(reconciliations).order_by(reconciliations.c.reconciled_at.desc()).limit(1)
    row = (await tx.execute(newest)).mappings().first()
    return Report(**{**row, "found": tuple(row["found"])}) if row else None


async def add(tx: Tx, report: Report) -> None:
    await tx.execute(
        insert(reconciliations).values(
            reconciled_at=report.reconciled_at,
            since=report.since,
            checked=report.checked,
            found=list(report.found),
        )
    )
