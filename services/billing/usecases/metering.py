"""Metering: hold before the request runs, book after it.

Every call joins the batch of its process. A call that meets an account whose cycle is over rolls it over and asks again.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.billing.domain.errors import AccountNotOpen, UnknownCatalogue
from services.billing.domain.metering import (
    EXPIRY,
    Decision,
    Demand,
    PricedDemand,
    PricedSettlement,
    RequestRef,
    Settlement,
)
from services.billing.store import metering as store
from services.billing.store.metering import Booking, Entitlements, NotJudged
from services.billing.usecases.accounts import Accounts
from services.billing.usecases.catalogues import Catalogues
from services.chassis.access import OrgId
from services.chassis.batching import Batcher
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.errors import ServiceUnavailable

# An account can be over twice in a row only when its month ends between two batches.
_ATTEMPTS = 3

log = structlog.get_logger()


class Metering:
    def __init__(self, db: Database, clock: Clock, catalogues: Catalogues, accounts: Accounts) -> None:
        self._db = db
        self._clock = clock
        self._catalogues = catalogues
        self._accounts = accounts
        # One lane each: two would only wait for each other's row locks.
        self._reserving: Batcher[PricedDemand, Decision | NotJudged] = Batcher(self._reserve)
        self._settling: Batcher[Sequence[PricedSettlement], Sequence[Booking | NotJudged]] = Batcher(
            self._settle, max_batch=100
        )

    async def reserve(self, demand: Demand) -> Decision:
        """Hold the bound of a request, or say what stands against it. Repeated calls for one request hold once.

        Raises AccountNotOpen, UnknownCatalogue.
        """
        pricing = await self._catalogues.pricing(demand.catalogue_version, demand.model)
        priced = PricedDemand(
            demand=demand,
            bound=pricing.bound(demand.model, input_tokens=demand.input_tokens_bound, max_tokens=demand.max_tokens),
            needs_opus=pricing.needs_opus(demand.model),
        )
        for _ in range(_ATTEMPTS):
            answer = await self._reserving.submit(priced)
            if isinstance(answer, Decision):
                return answer
            if answer is NotJudged.NO_ACCOUNT:
                raise AccountNotOpen
            await self._accounts.roll(demand.org_id)
        raise ServiceUnavailable

    async def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Book each settlement once; the places of those that are booked now, by this or an earlier call.

        The others name a catalogue, a model or an organization that is not known here (yet): whoever owes them keeps them.
        """
        priced = [(place, await self._priced(settlement)) for place, settlement in enumerate(settlements)]
        waiting = [(place, settlement) for place, settlement in priced if settlement is not None]
        booked: list[int] = []
        for _ in range(_ATTEMPTS):
            if not waiting:
                break
            answers = await self._settling.submit([settlement for _, settlement in waiting])
            again: list[tuple[int, PricedSettlement]] = []
            for (place, settlement), answer in zip(waiting, answers, strict=True):
                if isinstance(answer, Booking):
                    booked.append(place)
                    if answer.late:
                        log.warning(
                            "settled after its reservation had ended",
                            org_id=settlement.settlement.org_id,
                            request_id=settlement.settlement.request_id,
                        )
                elif answer is NotJudged.CYCLE_OVER:
                    again.append((place, settlement))
            for org_id in {settlement.settlement.org_id for _, settlement in again}:
                await self._accounts.roll(org_id)
            waiting = again
        return sorted(booked)

    async def release(self, requests: Sequence[RequestRef]) -> None:
        """End the holds of requests that were never dispatched. One that was not reserved yet will not be."""
        now = self._clock.now()
        await store.run_repeatably(
            self._db, lambda connection: store.release(connection, requests, expired=False, at=now)
        )

    async def renew(self, requests: Sequence[RequestRef]) -> None:
        """Keep the holds of running requests."""
        expires = self._clock.now() + EXPIRY
        await store.run_repeatably(self._db, lambda connection: store.renew(connection, requests, expires=expires))

    async def entitlements(self, org_id: OrgId) -> Entitlements:
        """What the organization may use. Raises AccountNotOpen."""
        entitlements = await store.run_repeatably(
            self._db, lambda connection: store.find_entitlements(connection, org_id)
        )
        if entitlements is None:
            raise AccountNotOpen
        return entitlements

    async def _priced(self, settlement: Settlement) -> PricedSettlement | None:
        try:
            pricing = await self._catalogues.pricing(settlement.catalogue_version, settlement.model)
        except UnknownCatalogue:
            log.error(
                "settlement by an unknown catalogue or model",
                org_id=settlement.org_id,
                request_id=settlement.request_id,
                model=settlement.model,
            )
            return None
        return PricedSettlement(settlement, pricing.credits(settlement.model, settlement.tokens))

    async def _reserve(self, demands: Sequence[PricedDemand]) -> Sequence[Decision | NotJudged]:
        now = self._clock.now()
        rounds = _rounds([(priced.demand.org_id, priced.demand.request_id) for priced in demands])

        async def judge(connection: store.Connection) -> list[Decision | NotJudged]:
            answers: dict[int, Decision | NotJudged] = {}
            for places in rounds:
                asked = [demands[place] for place in places]
                judged = await store.reserve(connection, asked, at=now, expires=now + EXPIRY)
                answers |= zip(places, judged, strict=True)
            return [answers[place] for place in range(len(demands))]

        return await store.run_repeatably(self._db, judge)

    async def _settle(self, calls: Sequence[Sequence[PricedSettlement]]) -> Sequence[Sequence[Booking | NotJudged]]:
        now = self._clock.now()
        together = [settlement for settlements in calls for settlement in settlements]
        rounds = _rounds([(priced.settlement.org_id, priced.settlement.request_id) for priced in together])

        async def book(connection: store.Connection) -> list[Booking | NotJudged]:
            answers: dict[int, Booking | NotJudged] = {}
            for places in rounds:
                booked = await store.settle(connection, [together[place] for place in places], at=now)
                answers |= zip(places, booked, strict=True)
            return [answers[place] for place in range(len(together))]

        answers = iter(await store.run_repeatably(self._db, book))
        return [[next(answers) for _ in settlements] for settlements in calls]


def _rounds(keys: Sequence[tuple[str, str]]) -> list[list[int]]:
    """The places of a batch in rounds without a repeat: one that came with its first goes into the next statement, and sees it."""
    rounds: list[list[int]] = []
    seen: dict[tuple[str, str], int] = {}
    for place, key in enumerate(keys):
        number = seen[key] = seen.get(key, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds
