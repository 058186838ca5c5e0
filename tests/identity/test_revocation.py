"""The end of a credential: its own policy, and what ends with it."""

from datetime import datetime
from typing import Any

import pytest
from hasp.watch.v1.watch_service_pb2 import Change

from services.chassis.errors import InvalidApiKey
from services.identity.usecases.credentials import IssuedCredential
from services.identity.wire.values import plain
from tests.identity.agents import issue, make_agent, may_delegate_to, principal_of
from tests.identity.conftest import Identity, Person
from tests.identity.test_delegation import chain


async def refused(identity: Identity, *issued: IssuedCredential) -> None:
    for each in issued:
        with pytest.raises(InvalidApiKey):
            await principal_of(identity, each)
        with pytest.raises(InvalidApiKey):
            await identity.authentication.resolve(each.token)


async def published(identity: Identity, after: int = 0) -> list[Change]:
    async with identity.db.hot.connection() as connection:
        rows = await connection.execute(
            "SELECT seq, subject_id, cancel FROM watch_changes WHERE seq > %s ORDER BY seq", (after,)
        )
        return [Change(seq=seq, subject_id=subject, cancel=cancel) for seq, subject, cancel in await rows.fetchall()]


async def run_invocation(identity: Identity, issued: IssuedCredential, expires_at: datetime | None = None) -> str:
    """A running invocation, written as an authorization writes it."""
    credential, id_ = issued.credential, f"invocation of {issued.credential.id}"
    async with identity.db.hot.connection() as connection:
        await connection.execute(
            "INSERT INTO invocations (org_id, id, credential_id, grant_no, status, created_at, expires_at)"
            " VALUES (%s, %s, %s, 0, 'authorized', %s, %s)",
            (credential.org_id, id_, credential.id, credential.created_at, expires_at or credential.expires_at),
        )
    return id_


async def statuses(identity: Identity) -> dict[str, str]:
    async with identity.db.hot.connection() as connection:
        rows = await connection.execute("SELECT id, status FROM invocations")
        return dict(await rows.fetchall())


async def revoke(identity: Identity, person: Person, issued: IssuedCredential, reason: str | None = None) -> Any:
    credential = issued.credential
    return await identity.credentials.revoke(person.principal, credential.agent_id, credential.id, reason)


async def test_the_root_of_a_chain_of_three_takes_all_with_it(identity: Identity, alice: Person) -> None:
    made = await chain(identity, alice, 3)
    root, *below = [each.credential.id for each in made]
    revoked, cascade = await revoke(identity, alice, made[0], "left the house")
    assert (revoked.id, list(cascade)) == (root, sorted(below))
    assert (revoked.revoked_with, revoked.revocation_reason) == ("drain", "left the house")
    await refused(identity, *made)
    events = {
        event.entity_id: event for event in await identity.audit(alice.principal.org_id, "agent.credential_revoked")
    }
    assert events.keys() == {root, *below}
    assert plain(events[root].metadata)["cascade_revoked_credential_ids"] == sorted(below)
    assert events[root].metadata["policy"] == "drain"
    for each in made[1:]:
        metadata = plain(events[each.credential.id].metadata)
        assert (metadata["policy"], metadata["revoked_with_credential_id"]) == ("kill", root)
        assert metadata["delegation_path"] == list(each.credential.delegation_path)
    assert b"left the house" not in b"".join(event.SerializeToString() for event in events.values())


async def test_what_stands_above_and_beside_goes_on(identity: Identity, alice: Person) -> None:
    made = await chain(identity, alice, 3)
    beside = (await chain(identity, alice, 1))[1]
    _, cascade = await revoke(identity, alice, made[2])
    assert list(cascade) == [made[3].credential.id]
    for each in (*made[:2], beside):
        await principal_of(identity, each)
    await refused(identity, *made[2:])


@pytest.mark.parametrize(("policy", "cancels"), [("drain", False), ("kill", True)])
async def test_the_watchers_are_told_what_to_cancel(
    identity: Identity, alice: Person, policy: str, *, cancels: bool
) -> None:
    child, agent = await make_agent(identity, alice), await make_agent(identity, alice)
    root = await issue(identity, alice.principal, agent, may_delegate_to(child), revocation_policy=policy)
    below = await issue(identity, await principal_of(identity, root), child, may_delegate_to(child))
    await revoke(identity, alice, root)
    told = [(change.seq, change.subject_id, change.cancel) for change in await published(identity)]
    assert told == [(1, root.credential.id, cancels), (2, below.credential.id, True)]


async def test_kill_cancels_what_runs_and_drain_lets_it_finish(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice)
    killed = await issue(identity, alice.principal, agent, revocation_policy="kill")
    drained = await issue(identity, alice.principal, agent, revocation_policy="drain")
    cancelled, running = await run_invocation(identity, killed), await run_invocation(identity, drained)
    for each in (killed, drained):
        await revoke(identity, alice, each)
    assert await statuses(identity) == {cancelled: "cancelled", running: "authorized"}
    (event,) = await identity.audit(alice.principal.org_id, "agent.invocation_cancelled")
    assert (event.entity_id, event.metadata["credential_id"]) == (cancelled, killed.credential.id)


async def test_a_drained_credential_is_known_only_while_something_runs(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice)
    idle, busy = await issue(identity, alice.principal, agent), await issue(identity, alice.principal, agent)
    await run_invocation(identity, busy)
    for each in (idle, busy):
        await revoke(identity, alice, each)
    await refused(identity, idle)
    assert (await principal_of(identity, busy)).draining
    with pytest.raises(InvalidApiKey):
        await identity.authentication.resolve(busy.token)
    identity.clock.advance(busy.credential.expires_at - identity.clock.now())
    await refused(identity, busy)


async def test_revoking_again_changes_nothing(identity: Identity, alice: Person) -> None:
    made = await chain(identity, alice, 1)
    first, _ = await revoke(identity, alice, made[0], "first")
    again, cascade = await revoke(identity, alice, made[0], "second")
    assert (again, cascade) == (first, [])
    assert len(await identity.audit(alice.principal.org_id, "agent.credential_revoked")) == 2


async def test_archiving_kills_all_that_the_agent_holds_and_what_came_from_it(
    identity: Identity, alice: Person
) -> None:
    agent, child = await make_agent(identity, alice), await make_agent(identity, alice)
    first = await issue(identity, alice.principal, agent, may_delegate_to(child))
    second = await issue(identity, alice.principal, agent)
    below = await issue(identity, await principal_of(identity, first), child, may_delegate_to(child))
    childs_own = await issue(identity, alice.principal, child)
    drained = await issue(identity, alice.principal, agent)
    runs = [await run_invocation(identity, each) for each in (second, below, drained)]
    await revoke(identity, alice, drained)
    before = len(await published(identity))

    archived = await identity.agents.archive(alice.principal, agent.id)
    ended = sorted(each.credential.id for each in (first, second, below))
    assert list(archived.revoked_credential_ids) == ended
    await refused(identity, first, second, below, drained)
    await principal_of(identity, childs_own)
    assert set((await statuses(identity)).values()) == {"cancelled"}
    assert len(runs) == 3
    told = [(change.subject_id, change.cancel) for change in await published(identity, before)]
    assert told == [(agent.id, True), (below.credential.id, True)]
    events = {
        event.entity_id: event for event in await identity.audit(alice.principal.org_id, "agent.credential_revoked")
    }
    assert events.keys() == {*ended, drained.credential.id}
    cascade = plain(events[first.credential.id].metadata)["cascade_revoked_credential_ids"]
    assert cascade == [below.credential.id]


async def test_reactivation_restores_nothing(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice)
    issued = await issue(identity, alice.principal, agent)
    await identity.agents.archive(alice.principal, agent.id)
    await identity.agents.reactivate(alice.principal, agent.id)
    await refused(identity, issued)


async def test_an_invocation_that_has_run_out_is_not_cancelled(identity: Identity, alice: Person) -> None:
    agent = await make_agent(identity, alice, default_revocation_policy="kill")
    issued = await issue(identity, alice.principal, agent)
    await run_invocation(identity, issued, expires_at=identity.clock.now())
    await revoke(identity, alice, issued)
    assert list((await statuses(identity)).values()) == ["authorized"]
    assert await identity.audit(alice.principal.org_id, "agent.invocation_cancelled") == []
