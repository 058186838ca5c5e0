"""Containment: whether a grant that is delegated stays within the grants of the credential that delegates it.

The promise: if `covering` accepts, then every action that a child's grant allows, one delegation further down, is allowed to the parent by
the very grant that covers it, whoever the delegating user has become since (e-mail address and role may change, the id does not), and every row
that satisfies the child's filters satisfies the parent's. Not the reverse: what cannot be seen structurally is refused, though it might be harmless.

Why it holds, for a constraint c contained in p, by induction over p, for every value v that satisfies c:

    p scalar    c is an equal scalar, so c and p accept the same values. Texts are equal as sequences of literals and variables, so they stay
                equal whatever is put in; a literal is never equal to a template, though it may happen to be today.
    p list      c is no list: c is contained in an alternative of p, so v satisfies that alternative, and p with it.
                c is a list: each alternative of c is contained in some alternative of p. Either v satisfies an alternative of c, hence one of p;
                or v is a list, not empty, each element of which satisfies an alternative of c, hence one of p. Both satisfy p.
    p object    c is an object with every key of p. So v is an object, has all keys of c and thereby of p, and at each key of p it
                satisfies c's constraint, hence p's.

For a grant, each field in turn: what the parent leaves out accepts everything; a name must be the same; a set of names that lies within the
child's lies within the parent's; for `filters`, an action that names a key of the parent's names a key of the child's, which is the stricter
one. A child at depth d + 1 that may delegate has d + 2 ≤ its max_chain_depth ≤ the parent's, so the parent at depth d may. One parent grant
covers a child grant whole: were two allowed to share it, an action that needs a bit of both would pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from services.identity.domain.constraints import pieces, same_scalar
from services.identity.domain.errors import ScopeExceedsParent
from services.identity.domain.grants import DataRead, DataWrite, Delegate, Escalate, Grant, ToolInvoke


def covering(parent: Sequence[Grant], child: Sequence[Grant], *, user_id: str) -> list[int]:
    """For each of the child's grants the index of a grant of the parent's that contains it, one without a rate limit if there is one, else the first.

    `user_id` is the delegating user's. Raises ScopeExceedsParent that names the first grant (`granted_scopes[2]`) which none contains.
    """
    return [
        _covering_one(parent, grant, user_id=user_id, param=f"granted_scopes[{index}]")
        for index, grant in enumerate(child)
    ]


def contains(parent: Grant, child: Grant, *, user_id: str) -> bool:
    """Whether the parent allows all that the child allows one delegation further down."""
    match parent, child:
        case DataRead(), DataRead():
            return (
                _names_it(parent.app_id, child.app_id)
                and _includes(parent.entities, child.entities)
                and constraint_contains(parent.filters or {}, child.filters or {}, user_id=user_id)
            )
        case DataWrite(), DataWrite():
            return (
                _names_it(parent.app_id, child.app_id)
                and _includes(parent.entities, child.entities)
                and _includes(parent.fields, child.fields)
            )
        case ToolInvoke(), ToolInvoke():
            return (
                parent.tool_id == child.tool_id
                and _is_at_most(child.rate_limit, parent.rate_limit)
                and constraint_contains(parent.constraints or {}, child.constraints or {}, user_id=user_id)
            )
        case Delegate(), Delegate():
            return parent.to_agent_id == child.to_agent_id and child.max_chain_depth <= parent.max_chain_depth
        case Escalate(), Escalate():
            return _names_it(parent.to_role, child.to_role) and _includes(parent.channels, child.channels)
        case _:
            return False


def constraint_contains(parent: Any, child: Any, *, user_id: str) -> bool:
    """Whether every value that satisfies the child satisfies the parent. Both are parsed constraints, their variables not replaced."""
    if isinstance(parent, dict):
        return isinstance(child, dict) and all(
            key in child and constraint_contains(wanted, child[key], user_id=user_id) for key, wanted in parent.items()
        )
    if isinstance(parent, list):
        return all(
            any(constraint_contains(alternative, inner, user_id=user_id) for alternative in parent)
            for inner in (child if isinstance(child, list) else [child])
        )
    if isinstance(parent, str) and isinstance(child, str):
        return pieces(parent, user_id) == pieces(child, user_id)
    return same_scalar(parent, child)


def _covering_one(parent: Sequence[Grant], child: Grant, *, user_id: str, param: str) -> int:
    containing = [index for index, grant in enumerate(parent) if contains(grant, child, user_id=user_id)]
    if not containing:
        raise ScopeExceedsParent(param=param)
    return min(containing, key=lambda index: _is_rated(parent[index]))


def _is_rated(grant: Grant) -> bool:
    return isinstance(grant, ToolInvoke) and grant.rate_limit is not None


def _names_it(parent: str | None, child: str | None) -> bool:
    return parent is None or child == parent


def _includes(parent: Collection[str] | None, child: Collection[str] | None) -> bool:
    return parent is None or (child is not None and set(child) <= set(parent))


def _is_at_most(child: int | None, parent: int | None) -> bool:
    return parent is None or (child is not None and child <= parent)
