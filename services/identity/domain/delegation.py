"""What bounds a delegation beside its grants (`containment.py`): to whom, how deep, how many at a time, test mode."""

from __future__ import annotations

from collections.abc import Sequence

from services.identity.domain.credentials import MAX_CHAIN_DEPTH, Credential, WantedCredential
from services.identity.domain.errors import ChainDepthExceeded, DelegationNotPermitted, ScopeExceedsParent
from services.identity.domain.grants import Delegate, Grant


def check_permitted(held: Sequence[Grant], agent_id: str, depth: int) -> None:
    """Whether a credential that holds the grants, `depth` delegations below a human, may delegate to the agent.

    Raises DelegationNotPermitted without a grant to that very agent, ChainDepthExceeded when the new credential would be deeper than the grant says.
    """
    permitted = [
        grant.max_chain_depth for grant in held if isinstance(grant, Delegate) and grant.to_agent_id == agent_id
    ]
    if not permitted:
        raise DelegationNotPermitted
    deepest = min(max(permitted), MAX_CHAIN_DEPTH)
    if depth + 1 > deepest:
        raise ChainDepthExceeded(permitted=deepest)


def check_bounded(wanted: WantedCredential, parent: Credential) -> None:
    """A child runs no more at a time than its parent may, and outside of test mode only below a parent that is. Raises ScopeExceedsParent."""
    if (wanted.max_concurrent_invocations or 0) > parent.max_concurrent_invocations:
        raise ScopeExceedsParent(param="max_concurrent_invocations")
    if parent.test_mode and wanted.test_mode is False:
        raise ScopeExceedsParent(param="test_mode")
