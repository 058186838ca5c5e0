"""Containment: whether a grant that is delegated stays within the grants of the credential that delegates it.

The promise: if `covering` accepts, then every action that a child's grant allows, one delegation further down, is allowed to the parent by
the very grant that covers it, whoever the delegating user has become since (e-mail address and role may change, the id does not), and every row
that satisfies the child's filters satisfies the parent's. Not the reverse: what cannot be seen structurally is refused, though it might be harmless.
(That is said of the rules. Where telling takes too many comparisons the answer is no, here as in constraints.satisfies, whatever the rules say.)

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

from services.identity.domain.constraints import Effort, TooMuchEffort, pieces, scalar
from services.identity.domain.errors import ScopeExceedsParent
from services.identity.domain.grants import DataRead, DataWrite, Delegate, Escalate, Grant, ToolInvoke

MOST_COMPARISONS = 10_000


def covering(parent: Sequence[Grant], child: Sequence[Grant], *, user_id: str) -> list[int]:
    """For each of the child's grants the index of a grant of the parent's that contains it, one without a rate limit if there is one, else the first.

    `user_id` is the delegating user's. Raises ScopeExceedsParent that names the first grant (`granted_scopes[2]`) which none contains, or of
    which that cannot be told with 10,000 comparisons.
    """
    unrated_first = sorted(enumerate(parent), key=lambda held: _is_rated(held[1]))
    found = []
    for index, grant in enumerate(child):
        containment = Containment(user_id)
        try:
            found.append(next(held for held, one in unrated_first if containment.of_grants(one, grant)))
        except (StopIteration, TooMuchEffort):
            raise ScopeExceedsParent(param=f"granted_scopes[{index}]") from None
    return found


class Containment:
    """Holds grants of one delegating user against each other, for 10,000 comparisons; then raises TooMuchEffort."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id
        self._effort = Effort(MOST_COMPARISONS)

    def of_grants(self, parent: Grant, child: Grant) -> bool:
        """Whether the parent allows all that the child allows one delegation further down."""
        match parent, child:
            case DataRead(), DataRead():
                return (
                    _names_it(parent.app_id, child.app_id)
                    and _includes(parent.entities, child.entities)
                    and self.of_constraints(parent.filters or {}, child.filters or {})
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
                    and self.of_constraints(parent.constraints or {}, child.constraints or {})
                )
            case Delegate(), Delegate():
                return parent.to_agent_id == child.to_agent_id and child.max_chain_depth <= parent.max_chain_depth
            case Escalate(), Escalate():
                return _names_it(parent.to_role, child.to_role) and _includes(parent.channels, child.channels)
            case _:
                return False

    def of_constraints(self, parent: Any, child: Any) -> bool:
        """Whether every value that satisfies the child satisfies the parent. Both are parsed constraints, their variables not replaced."""
        self._effort.spend(1)
        if isinstance(parent, dict):
            return isinstance(child, dict) and all(
                key in child and self.of_constraints(wanted, child[key]) for key, wanted in parent.items()
            )
        if isinstance(parent, list):
            return self._of_alternatives(parent, child if isinstance(child, list) else [child])
        wanted = self._scalar(parent)
        return wanted is not None and self._scalar(child) == wanted

    def _of_alternatives(self, parent: list[Any], child: list[Any]) -> bool:
        self._effort.spend(len(parent) + len(child))
        scalars = {self._scalar(alternative) for alternative in parent} - {None}
        others = [alternative for alternative in parent if self._scalar(alternative) is None]
        return all(
            self._scalar(inner) in scalars or any(self.of_constraints(other, inner) for other in others)
            for inner in child
        )

    def _scalar(self, constraint: Any) -> tuple[str, Any] | None:
        """As constraints.scalar, but text as its pieces."""
        if isinstance(constraint, str):
            return "text", pieces(constraint, self._user_id)
        return scalar(constraint)


def _is_rated(grant: Grant) -> bool:
    return isinstance(grant, ToolInvoke) and grant.rate_limit is not None


def _names_it(parent: str | None, child: str | None) -> bool:
    return parent is None or child == parent


def _includes(parent: Collection[str] | None, child: Collection[str] | None) -> bool:
    return parent is None or (child is not None and set(child) <= set(parent))


def _is_at_most(child: int | None, parent: int | None) -> bool:
    return parent is None or (child is not None and child <= parent)
