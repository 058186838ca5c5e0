"""The statements of `watch.ChangeLog`. Why they lock what they lock stands there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from hasp.watch.v1.watch_service_pb2 import Change
from psycopg import AsyncConnection
from sqlalchemy import text

from services.chassis.access import OrgId
from services.chassis.database import Tx

# The counter is locked until the commit, and every lease waits for it: a publisher that is stopped in between loses its
# transaction, or its watchers would lose what they run.
_PUBLISH = text(
    """
    WITH state AS (UPDATE watch_state SET seq = seq + :number RETURNING seq),
    change AS (
        INSERT INTO watch_changes (seq, org_id, subject_id, cancel, at)
        SELECT state.seq - :number + told.place, :org_id, told.subject_id, told.cancel, :at
        FROM state, unnest(CAST(:subject_ids AS text[]), CAST(:cancels AS boolean[]))
            WITH ORDINALITY AS told (subject_id, cancel, place)
    )
    SELECT seq, pg_notify('hasp_watch', seq::text), set_config('idle_in_transaction_session_timeout', '2s', true) FROM state
    """
)
_GRANT = """
    WITH state AS (SELECT seq FROM watch_state FOR SHARE),
    granted AS (
        INSERT INTO watchers (watcher_id, workload, lease_until, applied_seq)
        SELECT asked.watcher_id, asked.workload, clock_timestamp() + make_interval(secs => %s), asked.applied_seq
        FROM state, unnest(%s::text[], %s::text[], %s::bigint[]) AS asked (watcher_id, workload, applied_seq)
        ORDER BY asked.watcher_id
        ON CONFLICT (watcher_id) DO UPDATE SET
            lease_until = EXCLUDED.lease_until, applied_seq = greatest(watchers.applied_seq, EXCLUDED.applied_seq)
    )
    SELECT seq FROM state
"""
# Not flushed to disk: what a crash takes back is waited for again.
# In the order of the ids, as _GRANT does, so that the two never wait for each other in a circle.
_ACKNOWLEDGE = """
    WITH told AS (SELECT * FROM unnest(%s::text[], %s::bigint[]) AS told (watcher_id, applied_seq)),
    locked AS (SELECT watcher_id FROM watchers WHERE watcher_id IN (SELECT watcher_id FROM told) ORDER BY watcher_id FOR UPDATE)
    UPDATE watchers SET applied_seq = greatest(watchers.applied_seq, told.applied_seq)
    FROM told JOIN locked USING (watcher_id), (SELECT set_config('synchronous_commit', 'off', true)) AS unflushed
    WHERE watchers.watcher_id = told.watcher_id
"""
_RESUME = """
    SELECT state.seq, watcher.applied_seq, change.seq, change.org_id, change.subject_id, change.cancel
    FROM watch_state state
    LEFT JOIN watchers watcher ON watcher.watcher_id = %s
    LEFT JOIN watch_changes change ON change.seq > watcher.applied_seq
    ORDER BY change.seq
"""


async def publish(tx: Tx, *, org_id: OrgId, subjects: Sequence[tuple[str, bool]], at: datetime) -> int:
    """The seq of the last of the changes (subject_id, cancel). Holds the counter until `tx` ends."""
    subject_ids, cancels = zip(*subjects, strict=True)
    changes = {"number": len(subjects), "subject_ids": list(subject_ids), "cancels": list(cancels)}
    return (await tx.execute(_PUBLISH, {"org_id": org_id, "at": at, **changes})).scalar_one()


async def grant(connection: AsyncConnection, watchers: Sequence[tuple[str, str, int]], seconds: float) -> int:
    """Lease to each (watcher_id, workload, applied_seq); the seq of the moment. Waits for a publication that has not committed."""
    ids, workloads, applied = zip(*watchers, strict=True)
    return await _one(connection, _GRANT, (seconds, list(ids), list(workloads), list(applied)))


async def acknowledge(connection: AsyncConnection, applied: dict[str, int]) -> None:
    await connection.execute(_ACKNOWLEDGE, (list(applied.keys()), list(applied.values())))


async def slowest(connection: AsyncConnection) -> int | None:
    """The least that any watcher with a lease has applied; None when there is no watcher."""
    return await _one(connection, "SELECT min(applied_seq) FROM watchers WHERE lease_until > clock_timestamp()")


async def resume(connection: AsyncConnection, watcher_id: str) -> tuple[int, int | None, list[Change]]:
    """The seq of the moment, what the watcher has applied (None: unknown), and the kept changes after that."""
    rows = await (await connection.execute(_RESUME, (watcher_id,))).fetchall()
    return rows[0][0], rows[0][1], [_change(row[2:]) for row in rows if row[2] is not None]


async def current_seq(connection: AsyncConnection) -> int:
    return await _one(connection, "SELECT seq FROM watch_state")


async def changes_after(connection: AsyncConnection, seq: int) -> list[Change]:
    statement = "SELECT seq, org_id, subject_id, cancel FROM watch_changes WHERE seq > %s ORDER BY seq"
    return [_change(row) for row in await (await connection.execute(statement, (seq,))).fetchall()]


async def prune(connection: AsyncConnection, *, changes_before: datetime, watcher_seconds: float) -> None:
    await connection.execute("DELETE FROM watch_changes WHERE at < %s", (changes_before,))
    statement = "DELETE FROM watchers WHERE lease_until < clock_timestamp() - make_interval(secs => %s)"
    await connection.execute(statement, (watcher_seconds,))


async def _one(connection: AsyncConnection, statement: LiteralString, parameters: Sequence[object] = ()) -> int:
    row = await (await connection.execute(statement, parameters)).fetchone()
    if row is None:
        raise LookupError("watch_state has lost its row")
    return row[0]


def _change(row: Sequence[object]) -> Change:
    seq, org_id, subject_id, cancel = row
    return Change(seq=seq, org_id=org_id, subject_id=subject_id, cancel=cancel)  # pyright: ignore[reportArgumentType]
