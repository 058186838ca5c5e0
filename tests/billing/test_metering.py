import asyncio
import random
from datetime import timedelta
from decimal import Decimal

import pytest

from services.billing.domain.errors import AccountNotOpen, UnknownCatalogue
from services.billing.domain.metering import EXPIRY, RequestRef
from services.billing.domain.usage import Basis, Tokens
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.budgets import Budgets
from services.billing.usecases.catalogues import Catalogues
from services.billing.usecases.metering import Metering
from services.billing.usecases.sweeper import Sweeper
from services.billing.usecases.usage import Usages
from services.chassis.access import Principal
from services.chassis.audit import AuditTrail
from services.chassis.database import Database
from services.chassis.ulids import new_ulid
from tests.billing.requests import HAIKU, OPUS, demand, rows, settlement
from tests.fakes import FrozenClock, principal_of_new_org
from tests.postgres import DatabaseUrls


async def credits_of(usages: Usages, who: Principal) -> tuple[Decimal, Decimal]:
    """Used and reserved."""
    usage = await usages.get(who, start=None, end=None, grouping=None)
    return usage.credits.used, usage.credits.reserved


async def balanced(accounts: Accounts) -> bool:
    _, differences = await accounts.reconcile(None)
    assert differences == []
    return True


async def test_a_request_is_reserved_settled_and_shown(
    metering: Metering, usages: Usages, accounts: Accounts, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock, output=500, input_tokens_bound=1000)
    decision = await metering.reserve(request)
    assert decision.reserved
    assert await credits_of(usages, alice) == (0, Decimal("1750"))
    told = settlement(request, clock.now(), tokens=Tokens(input=900, output=100, cache_read=10, cache_write=4))
    assert await metering.settle([told]) == [0]
    assert await credits_of(usages, alice) == (Decimal("1006.00"), 0)
    assert await balanced(accounts)


async def test_ratios_are_exact(metering: Metering, usages: Usages, alice: Principal, clock: FrozenClock) -> None:
    request = demand(alice, clock, model=HAIKU)
    for _ in range(3):
        one = demand(alice, clock, model=HAIKU)
        await metering.settle([settlement(one, clock.now(), output=1)])
    await metering.settle([settlement(request, clock.now(), tokens=Tokens(input=0, output=0, cache_read=1))])
    assert (await credits_of(usages, alice))[0] == Decimal("0.33") * 3 + Decimal("0.033")


async def test_a_repeated_reservation_holds_once(
    metering: Metering, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    first, *others = await asyncio.gather(*(metering.reserve(request) for _ in range(10)))
    assert first.reserved
    assert all(decision.reserved for decision in others)
    assert (await metering.reserve(request)).reserved
    assert await credits_of(usages, alice) == (0, 1000)


async def test_a_settlement_is_booked_once_however_often_it_is_told(
    metering: Metering, usages: Usages, accounts: Accounts, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    await metering.reserve(request)
    told = settlement(request, clock.now(), output=700)
    together = await asyncio.gather(*(metering.settle([told, told]) for _ in range(20)))
    assert together == [[0, 1]] * 20
    assert await credits_of(usages, alice) == (700, 0)
    assert await balanced(accounts)


async def test_a_release_frees_the_hold_and_a_later_settlement_is_still_booked(
    metering: Metering, usages: Usages, accounts: Accounts, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    await metering.reserve(request)
    await metering.release([RequestRef(request.org_id, request.request_id)] * 2)
    assert await credits_of(usages, alice) == (0, 0)
    assert not (await metering.reserve(request)).reserved
    assert await metering.settle([settlement(request, clock.now(), output=300)]) == [0]
    await metering.release([RequestRef(request.org_id, request.request_id)])
    assert await credits_of(usages, alice) == (300, 0)
    assert await balanced(accounts)


async def test_a_release_that_comes_first_keeps_the_reservation_from_being_made(
    metering: Metering, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    await metering.release([RequestRef(request.org_id, request.request_id)])
    decision = await metering.reserve(request)
    assert not decision.reserved
    assert not decision.exhausted
    assert await credits_of(usages, alice) == (0, 0)


async def test_an_undelivered_request_costs_nothing_and_ends_its_hold(
    metering: Metering, usages: Usages, accounts: Accounts, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    await metering.reserve(request)
    told = settlement(request, clock.now(), undelivered=True, output=0)
    assert await metering.settle([told]) == [0]
    assert await metering.settle([told]) == [0]
    assert await credits_of(usages, alice) == (0, 0)
    assert await balanced(accounts)


async def test_a_reservation_nobody_renews_expires_after_ten_minutes(
    metering: Metering, usages: Usages, accounts: Accounts, sweeper: Sweeper, alice: Principal, clock: FrozenClock
) -> None:
    forgotten, running = demand(alice, clock), demand(alice, clock)
    await metering.reserve(forgotten)
    await metering.reserve(running)
    clock.advance(EXPIRY - timedelta(seconds=1))
    assert await sweeper.expire() == 0
    await metering.renew([RequestRef(running.org_id, running.request_id)])
    clock.advance(timedelta(seconds=1))
    assert await sweeper.expire() == 1
    assert await credits_of(usages, alice) == (0, 1000)
    assert await metering.settle([settlement(forgotten, clock.now()), settlement(running, clock.now())]) == [0, 1]
    assert await credits_of(usages, alice) == (2000, 0)
    assert await balanced(accounts)


async def test_the_last_request_may_pass_the_limit_when_nothing_else_runs(
    metering: Metering, budgets: Budgets, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    await budgets.update(alice, {"spend_cap": 1500})
    first, second, third = (demand(alice, clock) for _ in range(3))
    assert (await metering.reserve(first)).reserved
    refused = await metering.reserve(second)
    assert refused.exhausted
    assert not refused.reserved
    await metering.settle([settlement(first, clock.now())])
    assert (await metering.reserve(second)).reserved
    await metering.settle([settlement(second, clock.now())])
    assert (await metering.reserve(third)).exhausted
    assert await credits_of(usages, alice) == (2000, 0)


async def test_a_limit_that_is_used_to_the_last_credit_admits_nothing(
    metering: Metering, budgets: Budgets, alice: Principal, clock: FrozenClock
) -> None:
    await budgets.update(alice, {"spend_cap": 1000})
    request = demand(alice, clock)
    assert (await metering.reserve(request)).reserved
    await metering.settle([settlement(request, clock.now())])
    assert (await metering.reserve(demand(alice, clock, output=0))).reserved
    assert (await metering.reserve(demand(alice, clock, output=1))).exhausted


async def test_a_cap_of_zero_admits_nothing(
    metering: Metering, budgets: Budgets, alice: Principal, clock: FrozenClock
) -> None:
    await budgets.update(alice, {"spend_cap": 0})
    assert (await metering.reserve(demand(alice, clock))).exhausted


@pytest.mark.parametrize("cap", [0, 1, 999, 12_345])
async def test_many_callers_never_pass_the_cap_by_more_than_one_request(
    urls: DatabaseUrls, catalogues: Catalogues, budgets: Budgets, usages: Usages, accounts: Accounts, alice: Principal,
    clock: FrozenClock, cap: int,
) -> None:  # fmt: skip
    """256 callers over two replicas, each with its own pool and batches; the largest request costs 1,000."""
    await budgets.update(alice, {"spend_cap": cap})
    key = random.Random(cap)
    replicas = [Database(urls.app_url) for _ in range(2)]
    for replica in replicas:
        await replica.open()
    meterings = [
        Metering(replica, clock, catalogues, Accounts(replica, clock, AuditTrail(clock))) for replica in replicas
    ]

    async def caller(number: int) -> None:
        mine = meterings[number % 2]
        for _ in range(3):
            request = demand(alice, clock, output=key.randint(1, 1000), principal_id=f"key {number % 64}")
            if (await mine.reserve(request)).reserved:
                await asyncio.sleep(key.random() / 100)
                fate = key.random()
                if fate < 0.1:
                    await mine.release([RequestRef(request.org_id, request.request_id)])
                else:
                    used = key.randint(0, request.max_tokens)
                    await mine.settle([settlement(request, clock.now(), output=used)])

    await asyncio.gather(*(caller(number) for number in range(256)))
    for replica in replicas:
        await replica.close()
    used, reserved = await credits_of(usages, alice)
    assert reserved == 0
    assert used <= max(0, cap - 1 + 1000) if cap else used == 0
    assert await balanced(accounts)


async def test_opus_needs_the_opt_in(
    metering: Metering, budgets: Budgets, alice: Principal, clock: FrozenClock, changes_running: None
) -> None:
    refused = await metering.reserve(demand(alice, clock, model=OPUS))
    assert refused.opus_not_enabled
    assert not refused.reserved
    await budgets.update(alice, {"opus_enabled": True})
    assert (await metering.reserve(demand(alice, clock, model=OPUS))).reserved


async def test_counting_tokens_holds_nothing_but_counts_as_a_request(
    metering: Metering, budgets: Budgets, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    await budgets.update(alice, {"spend_cap": 0})
    counted = await metering.reserve(demand(alice, clock, count_only=True))
    assert counted.reserved
    assert counted.requests is not None
    assert counted.requests.remaining == 499
    assert await credits_of(usages, alice) == (0, 0)


async def test_an_unknown_catalogue_or_model_is_refused_and_its_settlement_stays_with_the_sender(
    metering: Metering, alice: Principal, clock: FrozenClock
) -> None:
    known, unknown = demand(alice, clock), demand(alice, clock, catalogue_version="2031-01-01")
    with pytest.raises(UnknownCatalogue):
        await metering.reserve(unknown)
    with pytest.raises(UnknownCatalogue):
        await metering.reserve(demand(alice, clock, model="gpt-9"))
    assert await metering.settle([settlement(unknown, clock.now()), settlement(known, clock.now())]) == [1]


async def test_an_organization_without_an_account_waits_for_it(metering: Metering, clock: FrozenClock) -> None:
    stranger = principal_of_new_org(clock)
    request = demand(stranger, clock)
    with pytest.raises(AccountNotOpen):
        await metering.reserve(request)
    assert await metering.settle([settlement(request, clock.now())]) == []
    with pytest.raises(AccountNotOpen):
        await metering.entitlements(stranger.org_id)


async def test_one_organization_does_not_use_anothers_credits(
    metering: Metering, usages: Usages, alice: Principal, mallory: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    same_id = demand(mallory, clock, request_id=request.request_id)
    await metering.reserve(request)
    await metering.settle([settlement(same_id, clock.now(), output=5)])
    await metering.release([RequestRef(mallory.org_id, request.request_id)])
    assert await credits_of(usages, alice) == (0, 1000)
    assert await credits_of(usages, mallory) == (5, 0)


async def test_batches_over_many_organizations_never_deadlock(
    urls: DatabaseUrls, catalogues: Catalogues, accounts: Accounts, clock: FrozenClock
) -> None:
    people = [principal_of_new_org(clock) for _ in range(12)]
    for person in people:
        await accounts.open(person.org_id, plan="enterprise", opened_at=clock.now())
    replicas = [Database(urls.app_url) for _ in range(3)]
    for replica in replicas:
        await replica.open()
    meterings = [
        Metering(replica, clock, catalogues, Accounts(replica, clock, AuditTrail(clock))) for replica in replicas
    ]

    async def caller(number: int) -> None:
        mine, other = meterings[number % 3], meterings[(number + 1) % 3]
        for turn in range(6):
            request = demand(people[(number * 7 + turn * 5) % 12], clock)
            ref = RequestRef(request.org_id, request.request_id)
            assert (await mine.reserve(request)).reserved
            await asyncio.gather(
                other.renew([ref]), other.settle([settlement(request, clock.now())]), mine.release([ref])
            )

    await asyncio.gather(*(caller(number) for number in range(60)))
    for replica in replicas:
        await replica.close()
    assert await balanced(accounts)


async def test_the_journal_refuses_to_be_changed(
    metering: Metering, db: Database, urls: DatabaseUrls, alice: Principal, clock: FrozenClock
) -> None:
    import psycopg

    request = demand(alice, clock)
    await metering.reserve(request)
    await metering.settle([settlement(request, clock.now())])
    owner = await psycopg.AsyncConnection.connect(urls.owner_url, autocommit=True)
    await owner.execute("SET hasp.org_id = '*'")
    app = await psycopg.AsyncConnection.connect(urls.app_url, autocommit=True)
    await app.execute("SET hasp.org_id = '*'")
    for table in ("entries", "settlements", "catalogues"):
        for change in (
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"UPDATE {table} SET {_column(table)} = '2020-01-01'",
        ):
            with pytest.raises(psycopg.errors.RaiseException):
                await owner.execute(change.encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await app.execute(change.encode())
    await owner.close()
    await app.close()
    assert await rows(db, alice.org_id, "SELECT count(*) FROM entries") == [(3,)]


def _column(table: str) -> str:
    return "seen_at" if table == "catalogues" else "booked_at"


async def test_an_entry_that_does_not_balance_is_refused(db: Database, alice: Principal, clock: FrozenClock) -> None:
    import sqlalchemy.exc

    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await rows(
            db,
            alice.org_id,
            "INSERT INTO entries (org_id, entry_id, kind, cycle_start, used, booked_at)"
            f" VALUES ('{alice.org_id}', '{new_ulid(clock)}', 'settle', now(), 1, now()) RETURNING 1",
        )


async def test_the_reconciler_tells_of_a_balance_that_was_tampered_with(
    metering: Metering, accounts: Accounts, db: Database, alice: Principal, clock: FrozenClock
) -> None:
    request = demand(alice, clock)
    await metering.settle([settlement(request, clock.now())])
    await rows(db, alice.org_id, "UPDATE cycles SET used = used - 1 RETURNING 1")
    checked, differences = await accounts.reconcile(alice.org_id)
    assert checked == 1
    assert differences == [f"{alice.org_id} {clock.now().isoformat()} used: balance 999, journal 1000"]


@pytest.mark.parametrize("basis", list(Basis))
async def test_the_basis_of_a_settlement_is_kept(
    metering: Metering, db: Database, alice: Principal, clock: FrozenClock, basis: Basis
) -> None:
    await metering.settle([settlement(demand(alice, clock), clock.now(), basis=basis)])
    assert await rows(db, alice.org_id, "SELECT basis FROM settlements") == [(basis.value,)]


async def test_connections_that_died_with_their_server_reach_no_caller(
    metering: Metering, db: Database, usages: Usages, alice: Principal, clock: FrozenClock
) -> None:
    for turn in range(3):
        requests = [demand(alice, clock) for _ in range(8)]
        assert all(decision.reserved for decision in await asyncio.gather(*map(metering.reserve, requests)))
        await rows(
            db,
            alice.org_id,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()",
        )
        told = [settlement(request, clock.now()) for request in requests]
        assert await metering.settle(told) == list(range(8))
        assert await credits_of(usages, alice) == (8000 * (turn + 1), 0)
