"""Records: the two hot commits of a request, its checkpoints, and what is read back.

The hot statements are hand-written and go through psycopg. What queued while the last commit was in flight is sent as one
transaction, in one round trip, so that load becomes bigger batches instead of longer queues.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, LiteralString, TypeVar

import orjson
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from services.chassis.access import OrgId
from services.chassis.database import Database
from services.chassis.idempotency import MARK_APPLIED, DuplicateRequest, Fresh, RequestInProgress
from services.chassis.outbox import Owed
from services.inference.domain.errors import ConversationChanged
from services.inference.domain.record import Ending, Opening, Record
from services.inference.domain.usage import Usage

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
Owes = tuple[Owed, Owed]
"""What every ending owes: billing its settlement, the audit log its event."""


@dataclass(frozen=True, slots=True)
class ConversationStep:
    """The sealed placeholder map after this turn. `version` is the one that was read; None begins a conversation."""

    conversation_id: str
    placeholders: bytes
    version: int | None


async def insert_batch(db: Database, openings: Sequence[Opening]) -> list[Exception | None]:
    """Each opening's row, or DuplicateRequest where its id is taken."""
    return await _together(db, openings, _insert, lambda opening, _: DuplicateRequest(f"req_{opening.request_id}"))


async def insert_with(db: Database, opening: Opening, step: ConversationStep | None, claim: Fresh | None) -> None:
    """One opening in a transaction of its own, with the turn of its conversation and its Idempotency-Key.

    Raises ConversationChanged, RequestInProgress, DuplicateRequest; then nothing is written.
    """
    async with db.hot.connection() as connection, connection.transaction():
        if claim is not None:
            names = {name: getattr(claim, name) for name in ("org_id", "principal_id", "key_hash", "claim_id")}
            if (await connection.execute(MARK_APPLIED, names)).rowcount != 1:
                raise RequestInProgress("Another call has taken this Idempotency-Key over.", retry_after=1)
        if step is not None:
            values = {
                "org_id": opening.org_id,
                "conversation_id": step.conversation_id,
                "principal_id": opening.caller.principal_id,
                "placeholders": step.placeholders,
                "version": step.version,
                "at": opening.created_at,
            }
            statement = _BEGIN_CONVERSATION if step.version is None else _CONTINUE_CONVERSATION
            if (await connection.execute(statement, values)).rowcount != 1:
                raise ConversationChanged
        try:
            await _insert(connection, opening)
        except psycopg.errors.UniqueViolation:
            raise DuplicateRequest(f"req_{opening.request_id}") from None


async def end_batch(db: Database, endings: Sequence[tuple[Ending, Owes]]) -> list[bool | Exception]:
    """Each ending with what it owes the siblings, in one commit; False where the record was ended by somebody else."""
    # In the order of checkpoints: two commits that take the same rows in two orders would wait for each other.
    order = sorted(range(len(endings)), key=lambda place: (endings[place][0].org_id, endings[place][0].request_id))
    cursors = await _together(db, [endings[place] for place in order], _end, lambda _, error: error)
    answers: dict[int, bool | Exception] = {}
    for place, cursor in zip(order, cursors, strict=True):
        answers[place] = cursor if isinstance(cursor, Exception) else bool(await _first(cursor))
    return [answers[place] for place in range(len(endings))]


async def _insert(connection: Connection, opening: Opening) -> None:
    caller = opening.caller
    await connection.execute(
        _INSERT,
        (
            opening.org_id,
            opening.request_id,
            opening.surface,
            opening.stream,
            opening.store,
            opening.model,
            opening.catalogue_version,
            opening.conversation_id,
            caller.principal_kind,
            caller.principal_id,
            caller.agent_id,
            caller.user_id,
            list(caller.delegation_path),
            caller.ip_address,
            opening.owner_id,
            opening.input_bound,
            opening.request,
            opening.detections,
            Jsonb(opening.phi, dumps=orjson.dumps),
            opening.phi_ms,
            opening.created_at,
        ),
    )


async def _end(connection: Connection, item: tuple[Ending, Owes]) -> psycopg.AsyncCursor[Any]:
    ending, owed = item
    usage = ending.usage
    values: dict[str, object] = {
        "org_id": ending.org_id,
        "request_id": ending.request_id,
        "owner_id": ending.owner_id,
        "status": ending.status,
        "basis": usage.basis,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "restored_count": ending.restored_count,
        "answer": ending.answer,
        "provider_message_id": ending.provider_message_id,
        "stop_reason": ending.stop_reason,
        "error_code": ending.error_code,
        "audit_id": ending.audit_id,
        "upstream_ms": ending.upstream_ms,
        "total_ms": ending.total_ms,
        "completed_at": ending.completed_at,
        "conversation_id": ending.conversation_id,
        "turn": ending.turn,
    }
    for number, message in enumerate(owed):
        values |= {
            f"topic_{number}": message.topic,
            f"id_{number}": message.message_id,
            f"payload_{number}": message.payload,
        }
    return await connection.execute(_END, values)


async def checkpoint(db: Database, running: Sequence[tuple[OrgId, str, str, Usage, str | None, bytes | None]]) -> None:
    """(org, request, owner, usage, the provider's id, sealed answer so far) of running requests."""
    async with db.hot.connection() as connection, connection.pipeline(), connection.transaction():
        for org_id, request_id, owner_id, usage, provider_message_id, answer in sorted(running, key=itemgetter(0, 1)):
            await connection.execute(
                _CHECKPOINT,
                (
                    usage.basis,
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read_tokens,
                    usage.cache_write_tokens,
                    provider_message_id,
                    answer,
                    org_id,
                    request_id,
                    owner_id,
                ),
            )


async def find(db: Database, org_id: OrgId, request_id: str) -> Record | None:
    async with db.hot.connection() as connection, connection.cursor(row_factory=class_row(Record)) as cursor:
        await cursor.execute(_FIND, (org_id, request_id))
        return await cursor.fetchone()


async def abandoned(connection: Connection, owner_id: str, running: Sequence[str], limit: int) -> list[Record]:
    """Records that nobody works on: of owners whose lease ran out, and of this one but not running. Locked for the transaction."""
    async with connection.cursor(row_factory=class_row(Record)) as cursor:
        await cursor.execute(_ABANDONED, {"owner_id": owner_id, "running": list(running), "limit": limit})
        return await cursor.fetchall()


async def end_in(connection: Connection, ending: Ending, owed: Owes) -> None:
    """An ending inside the transaction that locked its record."""
    await _end(connection, (ending, owed))


async def _together(
    db: Database,
    items: Sequence[T],
    write: Callable[[Connection, T], Awaitable[Any]],
    refused: Callable[[T, Exception], Exception],
) -> list[Any]:
    """`write` for every item in one commit; where one of them breaks a constraint, each in a commit of its own."""
    async with db.hot.connection() as connection:
        if len(items) > 1:
            try:
                async with connection.pipeline(), connection.transaction():
                    return [await write(connection, item) for item in items]
            except psycopg.errors.IntegrityError:
                pass  # which one it was shows below, where each has a commit of its own
        results: list[Any] = []
        for item in items:
            try:
                results.append(await write(connection, item))
            except psycopg.errors.IntegrityError as error:
                results.append(refused(item, error))
        return results


async def _first(cursor: psycopg.AsyncCursor[Any]) -> int:
    row = await cursor.fetchone()
    return row[0] if row else 0


_COLUMNS: LiteralString = (
    "org_id, request_id, surface, status, stream, store, model, catalogue_version, conversation_id, principal_kind, principal_id, agent_id,"
    " user_id, delegation_path, ip_address, owner_id, input_bound, request, answer, detections, phi, restored_count, basis, input_tokens,"
    " output_tokens, cache_read_tokens, cache_write_tokens, provider_message_id, stop_reason, error_code, audit_ids, phi_ms, upstream_ms, total_ms,"
    " created_at, completed_at"
)

_INSERT: LiteralString = """
INSERT INTO records (org_id, request_id, surface, status, stream, store, model, catalogue_version, conversation_id, principal_kind,
                     principal_id, agent_id, user_id, delegation_path, ip_address, owner_id, input_bound, request, detections, phi, phi_ms,
                     created_at)
VALUES (%s, %s, %s, 'dispatched', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_END: LiteralString = """
WITH ended AS (
    UPDATE records
       SET status = %(status)s, basis = %(basis)s, input_tokens = %(input_tokens)s, output_tokens = %(output_tokens)s,
           cache_read_tokens = %(cache_read_tokens)s, cache_write_tokens = %(cache_write_tokens)s, restored_count = %(restored_count)s,
           answer = coalesce(%(answer)s, answer), provider_message_id = %(provider_message_id)s, stop_reason = %(stop_reason)s,
           error_code = %(error_code)s, audit_ids = audit_ids || %(audit_id)s::text, upstream_ms = %(upstream_ms)s,
           total_ms = %(total_ms)s, completed_at = %(completed_at)s
     WHERE org_id = %(org_id)s AND request_id = %(request_id)s AND status = 'dispatched' AND owner_id = %(owner_id)s
    RETURNING 1
), turn AS (
    INSERT INTO conversation_turns (org_id, conversation_id, request_id, turn)
    SELECT %(org_id)s, %(conversation_id)s, %(request_id)s, %(turn)s::bytea FROM ended WHERE %(turn)s::bytea IS NOT NULL
), told AS (
    INSERT INTO outbox (org_id, topic, id, payload, due_at)
    SELECT %(org_id)s, owed.topic, owed.id, owed.payload, '-infinity'
      FROM ended CROSS JOIN (VALUES (%(topic_0)s, %(id_0)s, %(payload_0)s::bytea), (%(topic_1)s, %(id_1)s, %(payload_1)s::bytea))
           AS owed (topic, id, payload)
    ON CONFLICT DO NOTHING
)
SELECT count(*) + (SELECT count(*) FROM records WHERE org_id = %(org_id)s AND request_id = %(request_id)s AND %(audit_id)s = ANY (audit_ids))
  FROM ended
"""
# The second count: this very ending was committed before and its confirmation lost.

_CHECKPOINT: LiteralString = """
UPDATE records SET basis = %s, input_tokens = %s, output_tokens = %s, cache_read_tokens = %s, cache_write_tokens = %s,
                   provider_message_id = %s, answer = coalesce(%s, answer)
 WHERE org_id = %s AND request_id = %s AND status = 'dispatched' AND owner_id = %s
"""

_FIND: LiteralString = f"SELECT {_COLUMNS} FROM records WHERE org_id = %s AND request_id = %s"  # noqa: S608

_ABANDONED: LiteralString = f"""
SELECT {_COLUMNS} FROM records
 WHERE status = 'dispatched'
   AND CASE WHEN owner_id = %(owner_id)s
            THEN created_at < now() - interval '60 seconds' AND NOT request_id = ANY (%(running)s::text[])
            ELSE NOT EXISTS (SELECT FROM owners WHERE owners.owner_id = records.owner_id AND owners.lease_until > now()) END
 ORDER BY request_id LIMIT %(limit)s FOR UPDATE OF records SKIP LOCKED
"""  # noqa: S608

_BEGIN_CONVERSATION: LiteralString = """
INSERT INTO conversations (org_id, conversation_id, principal_id, placeholders, version, created_at)
VALUES (%(org_id)s, %(conversation_id)s, %(principal_id)s, %(placeholders)s, 1, %(at)s)
"""

_CONTINUE_CONVERSATION: LiteralString = """
UPDATE conversations SET placeholders = %(placeholders)s, version = version + 1
 WHERE org_id = %(org_id)s AND conversation_id = %(conversation_id)s AND version = %(version)s
"""
