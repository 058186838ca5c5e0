"""Idempotency-Key: a repeated call gets the first call's answer and never a second effect.

A key belongs to an organization, a principal, a method and a path, for 24 hours. Its row goes

    running ──(the effect's own commit)──> applied ──> answered | refused
       └──────────(no effect was made)────────────────> refused, or gone

`applied` is written inside the transaction that makes the effect: a process that dies between that commit and keeping the answer leaves a row
that says so, and a repeat is refused instead of run. A claim is a lease of 60 s with a fencing id. When it has run out, a repeat of the same body
takes the claim over; the first runner, should it still be alive, then fails to mark its transaction and rolls back.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString, Protocol

import sqlalchemy
import structlog
from psycopg.rows import dict_row

from services.chassis.access import Call, OrgId
from services.chassis.clock import Clock
from services.chassis.database import UNAVAILABLE, Database, Tx
from services.chassis.errors import ServiceError, ValidationFailed

LEASE = timedelta(seconds=60)
KEPT = timedelta(hours=24)
_PRUNE_EVERY = 600.0
_SHAPE = re.compile(r"[\x21-\x7e]{1,255}")
_TABLE = "idempotency_keys"

log = structlog.get_logger()


class IdempotencyKeyReused(ServiceError):
    reason = "IDEMPOTENCY_KEY_REUSED"


class RequestInProgress(ServiceError):
    reason = "REQUEST_IN_PROGRESS"


class DuplicateRequest(ServiceError):
    reason = "DUPLICATE_REQUEST"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "The first call with this Idempotency-Key has run, and its answer is not kept.",
            details={"request_id": request_id},
        )


class Seals(Protocol):
    """What seals kept answers: they may hold a secret that is shown once."""

    async def seal(self, org_id: OrgId, *, table: str, row: str, plaintext: bytes) -> bytes: ...
    async def open(self, org_id: OrgId, *, table: str, row: str, sealed: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Fresh:
    """A claim: the caller runs the use case, then calls keep or drop."""

    org_id: OrgId
    principal_id: str
    key_hash: bytes
    claim_id: str
    request_id: str

    async def apply(self, tx: Tx) -> None:
        """Mark the effect as made, inside the transaction that makes it. Raises RequestInProgress when another call has taken the claim over."""
        marked = await tx.execute(_MARK, _names(self))
        if marked.rowcount != 1:
            raise RequestInProgress("Another call has taken this Idempotency-Key over.", retry_after=1)

    @property
    def row(self) -> str:
        """Binds a sealed answer to its place."""
        return f"{self.principal_id}/{self.key_hash.hex()}/{self.claim_id}"


@dataclass(frozen=True, slots=True)
class Replay:
    """The first call's answer. Exactly one of `response` and `error` (both serialized messages) is set."""

    http_status: int | None
    response: bytes | None
    error: bytes | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The first call made its record; the use case rebuilds the answer from it, or refuses with DuplicateRequest."""

    request_id: str


class Idempotency:
    """The kept answers of one service."""

    def __init__(self, db: Database, clock: Clock, seals: Seals) -> None:
        self._db = db
        self._clock = clock
        self._seals = seals

    async def claim(self, call: Call, request_hash: bytes) -> Fresh | Replay:
        """Claim the call's key, or find what its first use answered.

        A Fresh claim must be applied in the effect's transaction, then kept or dropped. Raises IdempotencyKeyReused when the key came with another
        body, RequestInProgress while the first call runs, DuplicateRequest when it ran and left no answer.
        """
        claim, found = await self._claim(call, request_hash)
        if found is None:
            return claim
        if found["state"] in {"answered", "refused"}:
            plaintext = await self._seals.open(
                claim.org_id, table=_TABLE, row=_row(claim, found), sealed=found["answer"]
            )
            refused = found["state"] == "refused"
            return Replay(
                http_status=found["http_status"],
                response=None if refused else plaintext,
                error=plaintext if refused else None,
                request_id=found["request_id"],
            )
        # After the effect's commit only the lease tells whether the first runner is still about to keep its answer.
        if found["state"] == "running" or found["claimed_until"] > self._clock.now():
            raise RequestInProgress("The first call with this Idempotency-Key is still running.", retry_after=1)
        raise DuplicateRequest(found["request_id"])

    async def claim_for_record(self, call: Call, request_hash: bytes) -> Fresh | Recorded:
        """As claim, for methods that keep nothing beside their record.

        The commit that makes the record must apply the claim, or embed MARK_APPLIED. Drop the claim when the call is refused before that.
        """
        claim, found = await self._claim(call, request_hash)
        if found is None:
            return claim
        if found["state"] == "running":
            raise RequestInProgress("The first call with this Idempotency-Key is still running.", retry_after=1)
        return Recorded(found["request_id"])

    async def keep(self, claim: Fresh, *, response: bytes | None, http_status: int | None, error: bytes | None) -> None:
        """Keep the first answer, sealed. Nothing happens when another process has taken the claim over.

        An answer that cannot be kept is still the caller's: a repeat is then refused, which is what the row says already.
        """
        plaintext = response if error is None else error
        if plaintext is None:
            raise ValueError("neither a response nor an error")
        state = "answered" if error is None else "refused"
        try:
            sealed = await self._seals.seal(claim.org_id, table=_TABLE, row=claim.row, plaintext=plaintext)
            await self._execute(_KEEP, _names(claim) | {"state": state, "answer": sealed, "http_status": http_status})
        except UNAVAILABLE as failure:
            log.warning("an answer was not kept", request_id=claim.request_id, exc_info=failure)

    async def drop(self, claim: Fresh) -> None:
        """Give the key free for a repeat. Where the effect was committed already, repeats are refused from now on."""
        try:
            await self._execute(_DROP, _names(claim) | {"now": self._clock.now()})
        except UNAVAILABLE as failure:
            log.warning("a claim was not dropped, its lease runs out", request_id=claim.request_id, exc_info=failure)

    async def prune(self) -> int:
        """Delete keys older than 24 hours; how many."""
        async with self._db.hot.connection() as connection:
            return (await connection.execute(_PRUNE, {"before": self._clock.now() - KEPT})).rowcount

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            try:
                await self.prune()
            except UNAVAILABLE as error:
                log.warning("idempotency keys not pruned", exc_info=error)
            await asyncio.sleep(_PRUNE_EVERY)

    async def _claim(self, call: Call, request_hash: bytes) -> tuple[Fresh, Mapping[str, Any] | None]:
        """The claim, and the row that stands in its way or None."""
        key, principal = call.idempotency_key, call.principal
        if key is None or principal is None:
            raise ValueError("a claim needs a key and a principal")
        if not _SHAPE.fullmatch(key):
            raise ValidationFailed("The key must be 1 to 255 visible ASCII characters.", param="Idempotency-Key")
        claim = Fresh(
            org_id=principal.org_id,
            principal_id=principal.id,
            # Hashed with method and path: an index entry is bounded, a path is not, and what a person typed as a key is not stored.
            key_hash=hashlib.sha256("\0".join((call.method, call.path, key)).encode()).digest(),
            claim_id=secrets.token_hex(16),
            request_id=call.request_id,
        )
        now = self._clock.now()
        values = _names(claim) | {
            "request_hash": request_hash,
            "request_id": claim.request_id,
            "now": now,
            "claimed_until": now + LEASE,
            "expired": now - KEPT,
        }
        async with self._db.hot.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            # The row may vanish between the two statements when its owner drops it: then the key is free again.
            for _ in range(5):
                await cursor.execute(_CLAIM, values)
                if await cursor.fetchone():
                    return claim, None
                await cursor.execute(_FIND, values)
                found = await cursor.fetchone()
                if found is not None:
                    if found["request_hash"] != request_hash:
                        raise IdempotencyKeyReused(
                            "This Idempotency-Key was used with another body.", param="Idempotency-Key"
                        )
                    return claim, found
        raise RequestInProgress("Another call with this Idempotency-Key is running.", retry_after=1)

    async def _execute(self, statement: LiteralString, values: Mapping[str, object]) -> None:
        async with self._db.hot.connection() as connection:
            await connection.execute(statement, values)


def _names(claim: Fresh) -> dict[str, object]:
    return {
        "org_id": claim.org_id,
        "principal_id": claim.principal_id,
        "key_hash": claim.key_hash,
        "claim_id": claim.claim_id,
    }


def _row(claim: Fresh, found: Mapping[str, Any]) -> str:
    return f"{claim.principal_id}/{claim.key_hash.hex()}/{found['claim_id']}"


MARK_APPLIED: LiteralString = """
UPDATE idempotency_keys SET state = 'applied'
 WHERE org_id = %(org_id)s AND principal_id = %(principal_id)s AND key_hash = %(key_hash)s AND claim_id = %(claim_id)s
   AND state IN ('running', 'applied')
"""
"""For a hand-written statement with the claim's fields as parameters. It must fail, or make nothing, when this updates no row."""

_MARK = sqlalchemy.text(
    "UPDATE idempotency_keys SET state = 'applied' WHERE org_id = :org_id AND principal_id = :principal_id"
    " AND key_hash = :key_hash AND claim_id = :claim_id AND state IN ('running', 'applied')"
)

_CLAIM: LiteralString = """
INSERT INTO idempotency_keys AS kept
       (org_id, principal_id, key_hash, request_hash, request_id, state, claim_id, claimed_until, created_at)
VALUES (%(org_id)s, %(principal_id)s, %(key_hash)s, %(request_hash)s, %(request_id)s, 'running', %(claim_id)s,
        %(claimed_until)s, %(now)s)
ON CONFLICT (org_id, principal_id, key_hash) DO UPDATE
   SET request_hash = excluded.request_hash, request_id = excluded.request_id, state = 'running',
       claim_id = excluded.claim_id, claimed_until = excluded.claimed_until, created_at = excluded.created_at,
       answer = NULL, http_status = NULL
 WHERE kept.created_at <= %(expired)s
    OR (kept.state = 'running' AND kept.claimed_until <= %(now)s AND kept.request_hash = excluded.request_hash)
RETURNING 1
"""

_FIND: LiteralString = """
SELECT request_hash, request_id, state, claim_id, claimed_until, answer, http_status FROM idempotency_keys
 WHERE org_id = %(org_id)s AND principal_id = %(principal_id)s AND key_hash = %(key_hash)s
"""

_KEEP: LiteralString = """
UPDATE idempotency_keys SET state = %(state)s, answer = %(answer)s, http_status = %(http_status)s
 WHERE org_id = %(org_id)s AND principal_id = %(principal_id)s AND key_hash = %(key_hash)s AND claim_id = %(claim_id)s
"""

_DROP: LiteralString = """
WITH gone AS (
    DELETE FROM idempotency_keys
     WHERE org_id = %(org_id)s AND principal_id = %(principal_id)s AND key_hash = %(key_hash)s AND claim_id = %(claim_id)s
       AND state = 'running')
UPDATE idempotency_keys SET claimed_until = %(now)s
 WHERE org_id = %(org_id)s AND principal_id = %(principal_id)s AND key_hash = %(key_hash)s AND claim_id = %(claim_id)s
   AND state = 'applied'
"""

_PRUNE: LiteralString = "DELETE FROM idempotency_keys WHERE created_at <= %(before)s"
