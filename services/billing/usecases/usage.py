"""Usage: what was settled."""

from __future__ import annotations

from datetime import datetime

from services.billing.domain.accounts import credits_of
from services.billing.domain.usage import Grouping, Usage
from services.billing.store import usage as store
from services.billing.usecases.accounts import Accounts
from services.chassis.access import Principal
from services.chassis.database import Database
from services.chassis.errors import ValidationFailed


class Usages:
    def __init__(self, db: Database, accounts: Accounts) -> None:
        self._db = db
        self._accounts = accounts

    async def get(
        self, caller: Principal, *, start: datetime | None, end: datetime | None, grouping: Grouping | None
    ) -> Usage:
        """Usage from `start` to before `end`, by default of the current cycle; the credits are always the current cycle's.

        Raises ValidationFailed for an empty range, AccountNotOpen.
        """
        async with self._db.transaction(caller.org_id) as tx:
            account, cycle = await self._accounts.get(tx, caller.org_id)
            if start is None and end is None:
                start, end = cycle.cycle_start, cycle.cycle_end
                by_model = await store.of_cycle(tx, caller.org_id, start, Grouping.MODEL)
                series = await store.of_cycle(tx, caller.org_id, start, grouping) if grouping else ()
            else:
                given = "start" if end is None else "end"
                start, end = start or cycle.cycle_start, end or cycle.cycle_end
                if end <= start:
                    raise ValidationFailed("end must be after start; what is not given is the cycle's.", param=given)
                by_model = await store.of_range(tx, caller.org_id, start, end, Grouping.MODEL)
                series = await store.of_range(tx, caller.org_id, start, end, grouping) if grouping else ()
        return Usage(
            start=start,
            end=end,
            credits=credits_of(account, cycle),
            by_model=by_model,
            grouping=grouping,
            series=series,
        )
