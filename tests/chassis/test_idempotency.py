import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy

from services.chassis.access import Call, OrgId, Principal
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed
from services.chassis.idempotency import (
    DuplicateRequest,
    Fresh,
    Idempotency,
    IdempotencyKeyReused,
    Recorded,
    Replay,
    RequestInProgress,
)
from services.chassis.sealing import FileKek, Sealer
from services.chassis.ulids import new_ulid
from tests.postgres import DatabaseFactory


class MovingClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 11, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


ACME = OrgId("01J0000000000000000000ACME")
BODY, OTHER_BODY = b"a" * 32, b"b" * 32
CLOCK = MovingClock()


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def db(database_factory: DatabaseFactory) -> AsyncIterator[Database]:
    urls = database_factory("billing")
    db = Database(urls.app_url, pool_size=20, hot_size=20)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
def sealer(db: Database, tmp_path: Path) -> Sealer:
    kek = tmp_path / "kek"
    kek.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return Sealer(db, FileKek(kek))


@pytest.fixture
def answers(db: Database, clock: MovingClock, sealer: Sealer) -> Idempotency:
    return Idempotency(db, clock, sealer)


def call(key: str = "key-1", *, org: OrgId = ACME, who: str = "key_alice", path: str = "/v1/things") -> Call:
    return Call(
        method="/hasp.test.v1.ThingService/CreateThing",
        request_id=f"req_{new_ulid(CLOCK)}",
        path=path,
        principal=Principal(org_id=org, kind="api_key", id=who, user_id="u", scopes=frozenset()),
        idempotency_key=key,
    )


async def effects(db: Database) -> int:
    """How often the effect was made: a data key row stands in for it."""
    async with db.system_transaction() as tx:
        return (
            await tx.execute(sqlalchemy.text("SELECT count(*) FROM data_keys WHERE org_id LIKE 'effect%'"))
        ).scalar_one()


async def make_effect(db: Database, claim: Fresh) -> None:
    async with db.transaction(ACME) as tx:
        await tx.execute(sqlalchemy.text("SELECT set_config('hasp.org_id', '*', true)"))
        await tx.execute(
            sqlalchemy.text("INSERT INTO data_keys (org_id, version, wrapped) VALUES (:org, 1, 'x')"),
            {"org": f"effect {claim.claim_id}"},
        )
        await claim.apply(tx)


async def fresh(answers: Idempotency, a_call: Call | None = None, body: bytes = BODY) -> Fresh:
    claim = await answers.claim(a_call or call(), body)
    assert isinstance(claim, Fresh)
    return claim


async def test_the_same_key_and_body_replays_the_first_answer(answers: Idempotency, db: Database) -> None:
    claim = await fresh(answers)
    await make_effect(db, claim)
    await answers.keep(claim, response=b"the answer", http_status=201, error=None)
    again = await answers.claim(call(), BODY)
    assert again == Replay(http_status=201, response=b"the answer", error=None, request_id=claim.request_id)


async def test_a_kept_refusal_is_replayed_as_a_refusal(answers: Idempotency) -> None:
    claim = await fresh(answers)
    await answers.keep(claim, response=None, http_status=None, error=b"a status")
    again = await answers.claim(call(), BODY)
    assert again == Replay(http_status=None, response=None, error=b"a status", request_id=claim.request_id)


async def test_the_same_key_with_another_body_is_refused(answers: Idempotency) -> None:
    claim = await fresh(answers)
    with pytest.raises(IdempotencyKeyReused):
        await answers.claim(call(), OTHER_BODY)
    await answers.keep(claim, response=b"", http_status=200, error=None)
    with pytest.raises(IdempotencyKeyReused):
        await answers.claim(call(), OTHER_BODY)


async def test_a_running_call_makes_its_repeat_wait(answers: Idempotency, db: Database) -> None:
    claim = await fresh(answers)
    with pytest.raises(RequestInProgress):
        await answers.claim(call(), BODY)
    await make_effect(db, claim)
    with pytest.raises(RequestInProgress):
        await answers.claim(call(), BODY)


async def test_a_crash_between_the_effect_and_its_answer_never_runs_twice(
    answers: Idempotency, db: Database, clock: MovingClock
) -> None:
    claim = await fresh(answers)
    await make_effect(db, claim)
    clock.at += timedelta(seconds=61)
    with pytest.raises(DuplicateRequest) as refused:
        await answers.claim(call(), BODY)
    assert refused.value.details == {"request_id": claim.request_id}
    assert await effects(db) == 1


async def test_a_crash_before_the_effect_lets_a_repeat_take_over(
    answers: Idempotency, db: Database, clock: MovingClock
) -> None:
    await fresh(answers)
    clock.at += timedelta(seconds=61)
    second = await fresh(answers)
    await make_effect(db, second)
    await answers.keep(second, response=b"second", http_status=200, error=None)
    assert await effects(db) == 1


async def test_a_runner_who_lost_its_lease_rolls_back(answers: Idempotency, db: Database, clock: MovingClock) -> None:
    slow = await fresh(answers)
    clock.at += timedelta(seconds=61)
    second = await fresh(answers)
    with pytest.raises(RequestInProgress):
        await make_effect(db, slow)
    await make_effect(db, second)
    assert await effects(db) == 1
    await answers.keep(slow, response=b"slow", http_status=200, error=None)
    await answers.drop(slow)
    await answers.keep(second, response=b"second", http_status=200, error=None)
    again = await answers.claim(call(), BODY)
    assert isinstance(again, Replay)
    assert again.response == b"second"


async def test_an_effect_that_rolls_back_leaves_the_claim_running(
    answers: Idempotency, db: Database, clock: MovingClock
) -> None:
    claim = await fresh(answers)
    async with db.transaction(ACME) as tx:
        await claim.apply(tx)
        await tx.rollback()
    clock.at += timedelta(seconds=61)
    assert isinstance(await answers.claim(call(), BODY), Fresh)


async def test_a_dropped_claim_frees_the_key_at_once(answers: Idempotency) -> None:
    await answers.drop(await fresh(answers))
    await fresh(answers)


async def test_a_claim_dropped_after_its_effect_is_a_duplicate_at_once(answers: Idempotency, db: Database) -> None:
    claim = await fresh(answers)
    await make_effect(db, claim)
    await answers.drop(claim)
    with pytest.raises(DuplicateRequest):
        await answers.claim(call(), BODY)


async def test_a_key_is_forgotten_after_a_day(answers: Idempotency, db: Database, clock: MovingClock) -> None:
    claim = await fresh(answers)
    await make_effect(db, claim)
    await answers.keep(claim, response=b"first", http_status=200, error=None)
    clock.at += timedelta(hours=24) - timedelta(seconds=1)
    assert await answers.prune() == 0
    assert isinstance(await answers.claim(call(), BODY), Replay)
    clock.at += timedelta(seconds=1)
    assert isinstance(await answers.claim(call(), OTHER_BODY), Fresh)
    clock.at += timedelta(hours=24)
    assert await answers.prune() == 1


async def test_organization_principal_method_and_path_are_each_their_own(answers: Idempotency) -> None:
    await fresh(answers)
    await fresh(answers, call(org=OrgId("01J000000000000000000MALRY")))
    await fresh(answers, call(who="key_bob"))
    await fresh(answers, call(path="/v1/other_things"))
    await fresh(answers, call("key-2"))


async def test_a_hundred_parallel_calls_with_one_key_run_once(answers: Idempotency, db: Database) -> None:
    async def client() -> str:
        while True:
            try:
                claim = await answers.claim(call(), BODY)
            except RequestInProgress:
                await asyncio.sleep(0.02)
                continue
            if isinstance(claim, Replay):
                return claim.request_id
            await make_effect(db, claim)
            await answers.keep(claim, response=b"once", http_status=200, error=None)
            return claim.request_id

    ids = await asyncio.gather(*(client() for _ in range(100)))
    assert len(set(ids)) == 1
    assert await effects(db) == 1


async def test_a_kept_answer_is_sealed_and_does_not_open_in_another_row(answers: Idempotency, db: Database) -> None:
    secret = b"wa_live_0123456789abcdef"
    claim = await fresh(answers)
    await answers.keep(claim, response=secret, http_status=201, error=None)
    async with db.transaction(ACME) as tx:
        row = (await tx.execute(sqlalchemy.text("SELECT * FROM idempotency_keys"))).one()
    assert secret not in b"".join(bytes(value) for value in row if isinstance(value, bytes))
    assert "key-1" not in str(row)


@pytest.mark.parametrize("key", ["", "with space", "line\nbreak", "ü", "x" * 256])
async def test_a_key_of_a_wrong_shape_is_refused(answers: Idempotency, key: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await answers.claim(call(key), BODY)
    assert refused.value.param == "Idempotency-Key"


async def test_a_repeat_of_a_recorded_call_learns_the_request(answers: Idempotency, db: Database) -> None:
    first = await answers.claim_for_record(call(), BODY)
    assert isinstance(first, Fresh)
    with pytest.raises(RequestInProgress):
        await answers.claim_for_record(call(), BODY)
    await make_effect(db, first)
    assert await answers.claim_for_record(call(), BODY) == Recorded(first.request_id)
    with pytest.raises(IdempotencyKeyReused):
        await answers.claim_for_record(call(), OTHER_BODY)
