"""Usage over HTTP: what it sums is what was settled, whatever the range and the grouping."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from cli.suite import Suite
from tests.e2e.agents import equip
from tests.e2e.clinic import Clinic
from tests.e2e.envelope import check

_KEYS = {"model": "model", "api_key": "principal_id", "agent": "agent_id"}
GROUPINGS = ("day", *_KEYS)
Sums = dict[Any, tuple[int, int, int, int]]


@pytest.fixture(scope="module")
def busy(suite: Suite) -> Iterator[Clinic]:
    """Has asked by two keys and an agent, of two models, and cancelled a stream half way."""
    clinic = Clinic.open(suite)
    _, key = clinic.new_key("ai:chat")
    held = equip(clinic)
    for number in range(3):
        clinic.chat(f"[[sim:say=Yes]][[sim:output_tokens={100 + number}]]")
        body = {"message": "Hello", "stream": False, "model": "claude-haiku-4-5"}
        with clinic.http_with(key) as http:
            assert http.post("/v1/ai/chat", json=body).status_code == 200
        assert held.send("POST", "/v1/ai/chat", json=body).status_code == 200
    text = "[[sim:say=Once upon a time ]][[sim:repeat=50]][[sim:interval_ms=50]]"
    with clinic.http.stream("POST", "/v1/ai/chat", json={"message": text}) as answer:
        next(answer.iter_bytes())
    clinic.wait_until_settled(10)
    yield clinic
    clinic.close()


def settled(clinic: Clinic) -> list[dict[str, Any]]:
    with psycopg.connect(clinic.suite.admin_url, dbname="billing") as connection:
        rows = connection.cursor(row_factory=dict_row)
        return rows.execute("SELECT * FROM settlements WHERE org_id = %s", (clinic.org_id,)).fetchall()


def key_of(row: dict[str, Any], grouping: str) -> str | None:
    match grouping:
        case "day":
            return row["occurred_at"].astimezone(UTC).date().isoformat()
        case "api_key":
            return None if row["agent_id"] else row["principal_id"]
        case _:
            return row[_KEYS[grouping]] or None


def credits_of(rows: list[dict[str, Any]]) -> int:
    """As they are shown: added exactly, rounded once."""
    return int(sum((row["credits"] for row in rows), Decimal(0)).quantize(Decimal(1), ROUND_HALF_UP))


def sums_of(rows: list[dict[str, Any]], grouping: str) -> Sums:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[key_of(row, grouping)].append(row)
    return {
        key: (
            len(group),
            sum(row["input_tokens"] + row["cache_read_tokens"] + row["cache_write_tokens"] for row in group),
            sum(row["output_tokens"] for row in group),
            credits_of(group),
        )
        for key, group in groups.items()
    }


def shown(items: list[dict[str, Any]], grouping: str) -> Sums:
    names = ("requests", "input_tokens", "output_tokens", "credits")
    assert all(set(item) == {grouping, *names} for item in items)
    return {item[grouping]: tuple(item[name] for name in names) for item in items}


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_any_range_sums_what_was_settled_in_it(busy: Clinic, grouping: str):
    rows = settled(busy)
    moments = sorted(row["occurred_at"] for row in rows)
    dice = random.Random(grouping)
    ranges = [(moments[0], moments[-1]), (moments[3], moments[3] + timedelta(microseconds=1))]
    for _ in range(6):
        start = moments[0] + (moments[-1] - moments[0]) * dice.uniform(-0.2, 1)
        ranges.append((start, start + timedelta(seconds=dice.choice([0.2, 1, 5, 86_400, 366 * 86_400]))))
    for start, end in ranges:
        usage = busy.get("/v1/usage", start=start.isoformat(), end=end.isoformat(), group_by=grouping)
        inside = [row for row in rows if start <= row["occurred_at"] < end]
        assert shown(usage["series"], grouping) == sums_of(inside, grouping)
        assert shown(usage["by_model"], "model") == sums_of(inside, "model")
        assert usage["requests"]["total"] == len(inside)


def test_the_cycle_holds_every_request_and_the_one_that_was_cancelled(busy: Clinic):
    usage = busy.get("/v1/usage", group_by="agent")
    rows = settled(busy)
    assert shown(usage["series"], "agent") == sums_of(rows, "agent")
    assert {count for count, *_ in sums_of(rows, "agent").values()} == {7, 3}
    assert usage["credits"]["used"] == credits_of(rows)
    assert len(busy.get("/v1/usage", group_by="api_key")["series"]) == 3
    assert len(usage["by_model"]) == 2


def test_an_offset_is_heeded_in_each_of_its_forms(busy: Clinic):
    at = sorted(row["occurred_at"] for row in settled(busy))[5]
    local = at.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo).isoformat()
    path = f"/v1/usage?end={at.isoformat().replace('+00:00', 'Z')}"
    for asked in (f"{path}&start=2026-01-01T00:00:00Z", path.replace("Z", "%2B00:00"), f"/v1/usage?end={local}"):
        assert busy.http.get(asked).json()["data"]["requests"]["total"] == 5


def test_a_range_without_requests_is_empty(busy: Clinic):
    for grouping in GROUPINGS:
        usage = busy.get("/v1/usage", start="2020-01-01T00:00:00Z", end="2021-01-01T00:00:00Z", group_by=grouping)
        assert (usage["series"], usage["by_model"], usage["requests"]) == ([], [], {"total": 0})


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=2026-05-11T12:00:00", "start"),
        ("end=2026-05-11", "end"),
        ("start=2026-13-01T00:00:00Z", "start"),
        ("start=1775000000", "start"),
        ("start=2026-05-11T12:00:00Z&end=2026-05-11T12:00:00Z", "end"),
        ("start=2026-05-11T12:00:00Z&end=2026-05-11T11:00:00Z", "end"),
        ("start=9999-12-31T23:59:59Z", "start"),
        ("start=0001-01-01T00:00:00%2B14:00", "start"),
        ("end=0001-01-01T00:00:00%2B14:00", "end"),
        ("end=9999-12-31T23:59:59-14:00", "end"),
        ("end=1970-01-01T00:00:00Z", "end"),
        ("group_by=hour", "group_by"),
        ("group_by=", "group_by"),
    ],
)
def test_a_wrong_range_is_refused_by_name(shared_clinic: Clinic, query: str, param: str):
    check(shared_clinic.http.get(f"/v1/usage?{query}"), 422, "VALIDATION_FAILED", param)


def test_the_widest_range_is_answered(busy: Clinic):
    last = busy.get("/v1/usage", start="9999-12-31T12:00:00Z", end="9999-12-31T23:59:59.999999Z", group_by="day")
    assert last["requests"]["total"] == 0
    usage = busy.get("/v1/usage", start="0001-01-01T00:00:00Z", end="9999-12-31T23:59:59Z", group_by="day")
    assert usage["requests"]["total"] == 10
