"""Rate limits: what an answer's headers say of them, and a minute that passes at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from tests.e2e.clinic import Clinic

_LONGEST = {"requests": timedelta(days=1, minutes=10), "tokens": timedelta(seconds=61)}


@dataclass(frozen=True)
class Limit:
    limit: int
    remaining: int
    reset: datetime


def limit_of(headers: Mapping[str, str], name: str) -> Limit:
    """Of `requests` or `tokens`, from the headers of an answer. Asserts that the three headers are there and say something that can be."""
    limit, remaining, reset = (headers[f"X-RateLimit-{what}-{name}"] for what in ("Limit", "Remaining", "Reset"))
    assert reset.endswith("+00:00")
    read = Limit(int(limit), int(remaining), datetime.fromisoformat(reset))
    assert 0 <= read.remaining <= read.limit
    # It may have passed while the answer was on its way.
    assert timedelta(seconds=-10) < read.reset - datetime.now(UTC) <= _LONGEST[name]
    return read


def names(headers: Mapping[str, str]) -> set[str]:
    return {name for name in headers if name.startswith("x-ratelimit-")}


def let_pass(clinic: Clinic, seconds: int) -> None:
    """What the organization used in this minute was used so much earlier."""
    with psycopg.connect(clinic.suite.admin_url, dbname="billing") as connection:
        connection.execute(
            "UPDATE windows SET slot = slot - %s WHERE org_id = %s AND subject NOT LIKE 'day %%'",
            (2 * seconds, clinic.org_id),
        )
