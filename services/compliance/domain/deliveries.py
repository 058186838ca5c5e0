"""What becomes of a delivery after a try, and of an endpoint that fails."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.compliance.domain.webhooks import Status

RETRIES = (
    timedelta(seconds=10),
    timedelta(seconds=60),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
)
"""After the first try. The last one's failure makes a delivery dead."""

DISABLED_AFTER = timedelta(days=5)
"""Of failures without a success among them."""

_PATIENCE = 3
_SHORTEST_REST = timedelta(seconds=10)
_LONGEST_REST = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint answered: the HTTP status, None where there was no whole answer, and in a word why not."""

    status: int | None
    failure: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a delivery is after a try: it has either a time when it is due again, or one when it came to its end."""

    status: Status
    attempts: int
    last_status: int | None
    first_attempt_at: datetime | None
    due_at: datetime | None
    ended_at: datetime | None

    @property
    def delivered_at(self) -> datetime | None:
        return self.ended_at if self.status is Status.DELIVERED else None


def after(
    answer: Answer, *, attempts: int, first_attempt_at: datetime | None, started: datetime, ended: datetime
) -> Outcome:
    """Judge a try, before which there were `attempts`.

    Tries are due at their distance from the first one. One that came late (the endpoint had a backlog, or did not answer others)
    does not bring the next one nearer: it is never closer to its predecessor than the schedule has it.
    """
    first = first_attempt_at or started
    attempts += 1
    if answer.taken:
        return Outcome(Status.DELIVERED, attempts, answer.status, first, None, ended)
    if attempts > len(RETRIES):
        return Outcome(Status.DEAD, attempts, answer.status, first, None, ended)
    before = RETRIES[attempts - 2] if attempts > 1 else timedelta(0)
    due_at = max(first + RETRIES[attempts - 1], started + RETRIES[attempts - 1] - before)
    return Outcome(Status.RETRYING, attempts, answer.status, first, due_at, None)


def undeliverable(
    *, attempts: int, last_status: int | None, first_attempt_at: datetime | None, now: datetime
) -> Outcome:
    """What cannot be sent at all: its body or its endpoint's secrets do not open any more."""
    return Outcome(Status.DEAD, attempts, last_status, first_attempt_at, None, now)


def fails_too_long(failing_since: datetime | None, now: datetime) -> bool:
    """Whether a failure at `now` disables its endpoint."""
    return failing_since is not None and now - failing_since >= DISABLED_AFTER


def rest(silent: int) -> timedelta | None:
    """How long an endpoint is left alone after `silent` tries in a row without an answer.

    Each such try may take ten seconds of a place that others wait for, and there may be thousands of deliveries to make.
    """
    if silent < _PATIENCE:
        return None
    return min(_SHORTEST_REST * 2 ** min(silent - _PATIENCE, 10), _LONGEST_REST)
