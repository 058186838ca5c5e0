"""One more invocation: grants in order, slots before rates, rates along the chain."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.chassis.access import OrgId
from services.identity.domain.actions import Action, DelegatingUser, Invoke, Read
from services.identity.domain.errors import ConcurrencyLimitReached, RateLimited, ToolNotInScope
from services.identity.domain.invocations import (
    Authority,
    GrantRef,
    Invocation,
    Link,
    Room,
    Status,
    Used,
    Wish,
    authority_of,
)

NOW = datetime(2026, 5, 11, 12, 0, 30, tzinfo=UTC)
MINUTE = NOW.replace(second=0)
USER = DelegatingUser("a user", "a@example.test", "owner")
ORG = OrgId("an organization")


def tool(name: str = "book", rate_limit: int | None = None, **more: Any) -> dict[str, Any]:
    grant = {"type": "external.tool.invoke", "tool_id": name, **more}
    return grant if rate_limit is None else {**grant, "rate_limit": rate_limit}


def link(name: str, *granted: dict[str, Any], covered_by: list[int] | None = None, max_running: int = 10) -> Link:
    return Link(
        org_id=ORG,
        credential_id=name,
        agent_id="an agent",
        user=USER,
        delegation_path=(USER.id, name),
        chain_depth=0,
        max_running=max_running,
        granted=granted,
        covered_by=covered_by,
    )


def room(now: datetime = NOW) -> Room:
    return Room(now, {}, {})


def admit(room: Room, authority: Authority, action: Action | None = None) -> int:
    return room.admit(Wish.of(authority, action or Invoke("book")), USER)


def test_what_no_grant_permits_is_refused_by_its_tool_or_its_type() -> None:
    authority = authority_of([link("own", tool())])
    with pytest.raises(ToolNotInScope) as refused:
        admit(room(), authority, Invoke("cancel"))
    assert refused.value.details == {"tool_id": "cancel"}
    with pytest.raises(ToolNotInScope) as refused:
        admit(room(), authority, Read())
    assert refused.value.details == {"type": "hasp.data.read"}


def test_slots_are_taken_by_what_the_same_batch_admitted() -> None:
    authority, here = authority_of([link("own", tool(), max_running=2)]), room()
    assert [admit(here, authority), admit(here, authority)] == [0, 0]
    with pytest.raises(ConcurrencyLimitReached) as refused:
        admit(here, authority)
    assert refused.value.details == {"max_concurrent_invocations": 2}


def test_a_full_credential_uses_no_rate_and_an_unmatched_action_meets_no_limit() -> None:
    authority = authority_of([link("own", tool(rate_limit=1), max_running=1)])
    here = Room(NOW, {authority.ref: 1}, {(ORG, "own", 0): Used(1, MINUTE)})
    with pytest.raises(ConcurrencyLimitReached):
        admit(here, authority)
    with pytest.raises(ToolNotInScope):
        admit(here, authority, Invoke("cancel"))
    assert not here.admitted


def test_the_first_matching_grant_with_room_is_used() -> None:
    authority = authority_of(
        [link("own", tool("other"), tool(rate_limit=1), tool(rate_limit=2), tool(), max_running=9)]
    )
    here = room()
    assert [admit(here, authority) for _ in range(5)] == [1, 2, 2, 3, 3]
    assert here.admitted == {(ORG, "own", 1): 1, (ORG, "own", 2): 2}


def test_when_all_are_full_the_first_that_gets_room_is_waited_for() -> None:
    authority = authority_of([link("own", tool(rate_limit=5), tool(rate_limit=5))])
    used: dict[GrantRef, Used] = {
        (ORG, "own", 0): Used(5, MINUTE - timedelta(minutes=10)),
        (ORG, "own", 1): Used(6, MINUTE - timedelta(minutes=20)),
    }
    with pytest.raises(RateLimited) as refused:
        admit(Room(NOW, {}, used), authority)
    # The minute counts until it is an hour ago altogether.
    assert refused.value.retry_after == 41 * 60 - 30


def test_the_wait_is_never_less_than_a_second() -> None:
    authority = authority_of([link("own", tool(rate_limit=1))])
    used: dict[GrantRef, Used] = {(ORG, "own", 0): Used(1, NOW - timedelta(minutes=61))}
    with pytest.raises(RateLimited) as refused:
        admit(Room(NOW, {}, used), authority)
    assert refused.value.retry_after == 1


def test_a_delegated_grant_uses_up_the_rates_of_all_it_came_from() -> None:
    chain = [
        link("root", tool("other"), tool(rate_limit=3)),
        link("middle", tool(), covered_by=[1]),
        link("leaf", tool(rate_limit=2), tool("other"), covered_by=[0, 0]),
    ]
    root, middle, leaf = (authority_of(chain[: end + 1]) for end in range(3))
    assert [[meter.limit for meter in meters] for meters in leaf.meters] == [[2, 3], [3]]
    here = room()
    assert [admit(here, leaf), admit(here, middle), admit(here, leaf)] == [0, 0, 0]
    assert here.admitted == {(ORG, "leaf", 0): 2, (ORG, "root", 1): 3}
    for authority in (root, middle, leaf):
        with pytest.raises(RateLimited):
            admit(here, authority)


def test_a_user_who_has_changed_is_compared_again() -> None:
    mail = {"to": "{{delegating_user.email}}"}
    authority = authority_of([link("own", tool(constraints=mail))])
    wish = Wish.of(authority, Invoke("book", {"to": "b@example.test"}))
    with pytest.raises(ToolNotInScope):
        room().admit(wish, USER)
    assert room().admit(wish, DelegatingUser(USER.id, "b@example.test", USER.role)) == 0
    former = Wish.of(authority, Invoke("book", {"to": USER.email}))
    with pytest.raises(ToolNotInScope):
        room().admit(former, DelegatingUser(USER.id, "b@example.test", USER.role))


def test_an_overdue_invocation_reads_expired_before_any_sweep() -> None:
    running = Invocation(ORG, "it", "own", 0, Status.AUTHORIZED, None, NOW, NOW + timedelta(minutes=15), None)
    assert running.at(NOW + timedelta(minutes=15) - timedelta(microseconds=1)) is running
    expired = running.at(NOW + timedelta(minutes=15))
    assert (expired.status, expired.ended_at) == (Status.EXPIRED, running.expires_at)
    assert expired.at(NOW + timedelta(days=1)) is expired
