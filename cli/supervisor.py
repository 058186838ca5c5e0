"""Keeps a running suite running: a process that dies is started again, later each time it dies young."""

import time
from dataclasses import dataclass

from cli.postgres import PostgresError
from cli.processes import Process
from cli.suite import Suite

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_YOUNG_SECONDS = 30.0


@dataclass(frozen=True)
class _Plan:
    dead: Process
    due: float
    delay: float


class Supervisor:
    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._plans: dict[str, _Plan] = {}

    def tick(self) -> list[str]:
        """Look once at every process; to be called a few times a second. A sentence for each thing that happened."""
        reports = []
        now = time.monotonic()
        for name in self._suite.names:
            process = self._suite.process(name)
            process.bound_log()
            if process.exit_code is None:
                continue
            plan = self._plans.get(name)
            if plan is None or plan.dead is not process:
                plan = self._plans[name] = _Plan(process, *self._schedule(plan, process, now))
                reports.append(
                    f"{name} ended with {process.exit_code}; starting it again in {plan.delay:.1f} s, see {process.log}"
                )
            if now >= plan.due:
                reports.append(self._restart(name))
        return reports

    def _schedule(self, last: _Plan | None, process: Process, now: float) -> tuple[float, float]:
        young = now - process.started_at < _YOUNG_SECONDS
        delay = min(2 * last.delay, _LONGEST_DELAY_SECONDS) if last and young else _FIRST_DELAY_SECONDS
        return now + delay, delay

    def _restart(self, name: str) -> str:
        try:
            self._suite.restart(name, wait=False)
        except PostgresError as error:
            return f"{name}: {error}"
        return f"{name} is started again"
