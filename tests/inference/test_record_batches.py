"""Batches that meet on the same records."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from services.chassis.access import OrgId
from services.chassis.clock import SystemClock
from services.chassis.database import Database
from services.chassis.outbox import Owed
from services.chassis.ulids import new_ulid
from services.inference.domain.record import Caller, Ending, Opening, Status, Surface
from services.inference.domain.usage import Basis, Usage
from services.inference.store import records
from tests.postgres import DatabaseFactory

CLOCK = SystemClock()
ORG = OrgId(new_ulid(CLOCK))
OWNER = new_ulid(CLOCK)
USAGE = Usage(10, 5, basis=Basis.COUNTED)


def opening() -> Opening:
    return Opening(
        org_id=ORG,
        request_id=new_ulid(CLOCK),
        surface=Surface.ANTHROPIC,
        stream=True,
        store=True,
        model="claude-sonnet-4-6",
        catalogue_version="2026-05-01",
        conversation_id=None,
        caller=Caller("api_key", new_ulid(CLOCK), None, new_ulid(CLOCK), (), None),
        owner_id=OWNER,
        input_bound=100,
        request=None,
        detections=None,
        phi={},
        phi_ms=1.0,
        created_at=CLOCK.now(),
    )


def ending(request_id: str) -> tuple[Ending, records.Owes]:
    audit_id = new_ulid(CLOCK)
    of = Ending(
        org_id=ORG,
        request_id=request_id,
        owner_id=OWNER,
        status=Status.CANCELLED,
        usage=USAGE,
        restored_count=0,
        answer=None,
        provider_message_id=None,
        stop_reason=None,
        error_code=None,
        audit_id=audit_id,
        upstream_ms=1.0,
        total_ms=1.0,
        completed_at=CLOCK.now(),
    )
    return of, (Owed(request_id, ORG, "billing.settle", b""), Owed(audit_id, ORG, "compliance.audit", b""))


@pytest.fixture
async def db(database_factory: DatabaseFactory):
    db = Database(database_factory("inference").app_url)
    await db.open()
    yield db
    await db.close()


async def test_checkpoints_and_endings_of_the_same_requests_do_not_wait_for_each_other_in_a_circle(db: Database):
    """Whoever waits in a circle is let go by the database after a second, with an error."""
    dice = random.Random(1)

    def shuffled(ids: Iterable[str]) -> list[str]:
        return dice.sample(list(ids), len(openings))

    for _ in range(10):
        openings = [opening() for _ in range(100)]
        ids = [each.request_id for each in openings]
        await records.insert_batch(db, openings)
        running = [[(ORG, each, OWNER, USAGE, None, None) for each in shuffled(ids)] for _ in range(2)]
        ended, *_ = await asyncio.gather(
            records.end_batch(db, [ending(each) for each in shuffled(ids)]),
            *(records.checkpoint(db, each) for each in running),
        )
        assert ended == [True] * len(ids)


async def test_each_ending_gets_its_own_answer(db: Database):
    openings = [opening() for _ in range(3)]
    await records.insert_batch(db, openings)
    known, nobodys = [each.request_id for each in openings], new_ulid(CLOCK)
    asked = [known[2], nobodys, known[0], known[1]]
    assert await records.end_batch(db, [ending(each) for each in asked]) == [True, False, True, True]
