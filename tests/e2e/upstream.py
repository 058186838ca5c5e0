"""What the simulated provider received."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Received:
    number: int
    path: str
    headers: dict[str, str]
    body: str
    outcome: str
    events: int
    started_at: float
    ended_at: float | None
    message_id: str | None
    """Of the answer, once its usage was reported."""
    usage: dict[str, Any]
    """As far as it was reported."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    """Sees only what came after it was made. The provider forgets old requests: who asks now and then misses none of many."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10)
        self._mark = self._read()["total"]
        """Every request up to this number has ended and is known."""
        self._seen: dict[int, Received] = {}

    def received(self) -> list[Received]:
        """All of them, oldest first."""
        for each in self._read(since=self._mark)["requests"]:
            received = Received(**{name: each[name] for name in Received.__dataclass_fields__})
            self._seen[received.number] = received
        while (next_one := self._seen.get(self._mark + 1)) is not None and next_one.ended_at is not None:
            self._mark += 1
        return [self._seen[number] for number in sorted(self._seen)]

    def the_only(self) -> Received:
        (only,) = self.received()
        return only

    @property
    def text(self) -> str:
        """All bodies, to search in."""
        return "\n".join(each.body for each in self.received())

    def script(self, *scenes: dict[str, Any]) -> None:
        """Directions for the next requests, one each."""
        self._http.post("/_sim/next", json=scenes).raise_for_status()

    def wait_for_outcome(self, outcome: str, seconds: float = 5.0) -> Received:
        """The newest request, once it has ended like that."""
        deadline = time.monotonic() + seconds
        while not (seen := self.received()) or seen[-1].outcome != outcome:
            assert time.monotonic() < deadline, f"no request ended as {outcome}: {seen}"
            time.sleep(0.02)
        return seen[-1]

    def close(self) -> None:
        self._http.close()

    def _read(self, since: int = 10**12) -> Any:
        return self._http.get("/_sim/requests", params={"since": since}).json()
