"""Requests as inference would tell of them."""

from dataclasses import replace
from datetime import datetime

import sqlalchemy

from services.billing.domain.metering import Demand, Settlement
from services.billing.domain.usage import Basis, Tokens
from services.chassis.access import OrgId, Principal
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from tests.fakes import FrozenClock

VERSION = "2026-05-01"
SONNET, HAIKU, OPUS = "claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-6"


def demand(who: Principal, clock: FrozenClock, *, output: int = 1000, model: str = SONNET, **changes: object) -> Demand:
    """A request without input, so that on Sonnet its bound is `output` credits."""
    of = Demand(
        org_id=who.org_id,
        request_id=new_ulid(clock),
        principal_id=who.id,
        model=model,
        catalogue_version=VERSION,
        input_tokens_bound=0,
        max_tokens=output,
        count_only=False,
    )
    return replace(of, **changes)


def settlement(of: Demand, at: datetime, *, output: int | None = None, **changes: object) -> Settlement:
    """What the request used: all of its bound, or `output`."""
    told = Settlement(
        org_id=of.org_id,
        request_id=of.request_id,
        principal_id=of.principal_id,
        agent_id="",
        model=of.model,
        catalogue_version=of.catalogue_version,
        tokens=Tokens(input=0, output=of.max_tokens if output is None else output),
        basis=Basis.REPORTED,
        occurred_at=at,
        undelivered=False,
    )
    return replace(told, **changes)


async def rows(db: Database, org_id: OrgId, query: str) -> list[tuple]:
    async with db.transaction(org_id) as tx:
        return [tuple(row) for row in await tx.execute(sqlalchemy.text(query))]
