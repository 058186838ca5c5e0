"""Reading one record."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ResourceNotFound
from services.chassis.sealing import Sealer
from services.chassis.ulids import is_ulid
from services.inference.domain.catalogue import Catalogue
from services.inference.domain.chat import UsageSummary
from services.inference.domain.phi import Redaction
from services.inference.domain.record import Record, unpack_detections, unpack_request
from services.inference.store import records


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """`messages` and `content` are None where contents are not kept, or not there yet. `detections` are kept all the same."""

    record: Record
    messages: list[dict[str, Any]] | None
    content: list[dict[str, Any]] | None
    detections: list[Redaction]
    usage: UsageSummary


class Records:
    def __init__(self, db: Database, sealer: Sealer, catalogue: Catalogue) -> None:
        self._db = db
        self._sealer = sealer
        self._catalogue = catalogue

    async def get(self, caller: Principal, record_id: str) -> OpenedRecord:
        """`record_id`: bare ULID, `msg_…` or `req_…`. Raises ResourceNotFound, for what is another's too."""
        ulid = record_id.removeprefix("msg_").removeprefix("req_")
        record = await records.find(self._db, caller.org_id, ulid) if is_ulid(ulid) else None
        if record is None or (caller.kind == "agent" and record.principal_id != caller.id):
            raise ResourceNotFound("No such record.", param="id")
        messages = content = None
        if record.request is not None:
            original, _ = unpack_request(await self._open(record, "request", record.request))
            messages = orjson.loads(original)["messages"]
        if record.answer is not None:
            content = orjson.loads(await self._open(record, "answer", record.answer))["content"]
        # Records of before detections were sealed have them beside their counts.
        detections = [Redaction(*each) for each in record.phi.get("redactions", ())]
        if record.detections is not None:
            detections = unpack_detections(await self._open(record, "detections", record.detections))
        usage = UsageSummary.of(record.model, self._catalogue.find(record.model), record.usage)
        return OpenedRecord(record, messages, content, detections, usage)

    async def _open(self, record: Record, side: str, sealed: bytes) -> bytes:
        return await self._sealer.open(record.org_id, table="records", row=f"{record.request_id}/{side}", sealed=sealed)
