"""Agents, in the transaction of one organization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import psycopg.errors
import sqlalchemy.exc
from sqlalchemy import ColumnElement, Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.chassis.access import OrgId
from services.chassis.database import Tx
from services.identity.domain.agents import Agent, Counted, Selection, Status
from services.identity.domain.errors import AgentNameTaken
from services.identity.store.tables import agents, credentials

_ACTIVE_NAME = "agents_active_name"


async def add(tx: Tx, agent: Agent) -> bool:
    """False when an active agent has this name."""
    statement = insert(agents).values(asdict(agent)).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(agents.c.id))).first() is not None


async def page(tx: Tx, org_id: OrgId, selection: Selection, now: datetime) -> tuple[Sequence[Counted], int]:
    """The page's agents, newest first, and how many there are over all pages."""
    selected = _selected(org_id, selection)
    active_credentials = (
        select(func.count())
        .select_from(credentials)
        .where(credentials.c.org_id == org_id, credentials.c.agent_id == agents.c.id, *_in_force(now))
        .correlate(agents)
        .scalar_subquery()
    )
    rows = await tx.execute(
        select(agents, active_credentials)
        .where(*selected)
        .order_by(agents.c.id.desc())
        .limit(selection.per_page)
        .offset((selection.page - 1) * selection.per_page)
    )
    total = await tx.execute(select(func.count()).select_from(agents).where(*selected))
    return [_counted(row) for row in rows], total.scalar_one()


async def find(tx: Tx, org_id: OrgId, agent_id: str) -> Agent | None:
    return await _find(tx, org_id, agent_id, lock=False)


async def lock(tx: Tx, org_id: OrgId, agent_id: str) -> Agent | None:
    """The agent, which nobody else changes and to which nobody issues until the transaction ends."""
    return await _find(tx, org_id, agent_id, lock=True)


async def hold(tx: Tx, org_id: OrgId, agent_id: str) -> Agent | None:
    """The agent, which is neither changed nor archived before the transaction ends."""
    return await _find(tx, org_id, agent_id, lock=False, hold=True)


async def change(tx: Tx, agent: Agent, fields: Mapping[str, Any]) -> None:
    """Raises AgentNameTaken when the agent would be the second active one of its name."""
    statement = update(agents).where(agents.c.org_id == agent.org_id, agents.c.id == agent.id).values(fields)
    try:
        await tx.execute(statement)
    except sqlalchemy.exc.IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.UniqueViolation) and error.orig.diag.constraint_name == _ACTIVE_NAME:
            raise AgentNameTaken from None
        raise


async def scope_types_in_force(tx: Tx, agent: Agent, now: datetime) -> Mapping[str, Sequence[str]]:
    """The scope types of each of the agent's active credentials, by the credential's id, in its order."""
    rows = await tx.execute(
        select(credentials.c.id, credentials.c.scope_types)
        .where(credentials.c.org_id == agent.org_id, credentials.c.agent_id == agent.id, *_in_force(now))
        .order_by(credentials.c.id)
    )
    return {row.id: row.scope_types for row in rows}


async def _find(tx: Tx, org_id: OrgId, agent_id: str, *, lock: bool, hold: bool = False) -> Agent | None:
    statement = select(agents).where(agents.c.org_id == org_id, agents.c.id == agent_id)
    if lock or hold:
        statement = statement.with_for_update(read=hold)
    row = (await tx.execute(statement)).mappings().one_or_none()
    return Agent(**row) if row is not None else None


def _selected(org_id: OrgId, selection: Selection) -> list[ColumnElement[bool]]:
    conditions = [agents.c.org_id == org_id]
    if selection.status is not None:
        is_active = selection.status is Status.ACTIVE
        conditions.append(agents.c.archived_at.is_(None) if is_active else agents.c.archived_at.is_not(None))
    if selection.search:
        by_name = agents.c.name.icontains(selection.search, autoescape=True)
        conditions.append(or_(by_name, agents.c.id.istartswith(selection.search, autoescape=True)))
    return conditions


def _in_force(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return credentials.c.revoked_at.is_(None), credentials.c.expires_at > now


def _counted(row: Row[Any]) -> Counted:
    *columns, active_credentials = row
    return Counted(Agent(*columns), active_credentials)
