"""Idempotency-Key on inference: nothing is kept beside the record, and nothing runs or is billed twice."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.chassis.access import Call
from services.chassis.database import Database
from services.chassis.idempotency import DuplicateRequest, Fresh, Idempotency, RequestInProgress
from services.chassis.sealing import Sealer
from services.inference.domain.record import Record, Status
from services.inference.store import records


@dataclass(frozen=True, slots=True)
class Replayed:
    """The first call's answer, rebuilt from its record. `message` has at least `content`."""

    record: Record
    message: dict[str, Any]

    @property
    def request_id(self) -> str:
        return f"req_{self.record.request_id}"


class Replays:
    def __init__(self, db: Database, idempotency: Idempotency, sealer: Sealer) -> None:
        self._db = db
        self._idempotency = idempotency
        self._sealer = sealer

    async def claim(self, call: Call, request_hash: bytes) -> Fresh | Replayed | None:
        """None without a key. A replay carries the first call's id in its headers.

        Raises IdempotencyKeyReused, RequestInProgress, and DuplicateRequest for what streamed, failed, or was not stored.
        """
        if call.idempotency_key is None or call.principal is None:
            return None
        claim = await self._idempotency.claim_for_record(call, request_hash)
        if isinstance(claim, Fresh):
            return claim
        first = claim.request_id.removeprefix("req_")
        org_id = call.principal.org_id
        record = await records.find(self._db, org_id, first)
        if record is None:
            raise DuplicateRequest(claim.request_id)
        if record.status == Status.DISPATCHED:
            raise RequestInProgress("The first call with this Idempotency-Key is still running.", retry_after=1)
        if record.stream or record.status != Status.COMPLETED or record.answer is None:
            raise DuplicateRequest(claim.request_id)
        opened = await self._sealer.open(org_id, table="records", row=f"{first}/answer", sealed=record.answer)
        call.answer_headers.update({"idempotent-replayed": "true", "x-hasp-request-id": f"req_{first}"})
        return Replayed(record, orjson.loads(opened))

    async def drop(self, claim: Fresh | Replayed | None) -> None:
        """The call was refused before its record: its key is free again."""
        if isinstance(claim, Fresh):
            await self._idempotency.drop(claim)
