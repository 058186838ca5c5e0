"""What can be taken back: keys, and credentials with all that was delegated from them."""

from dataclasses import dataclass

from tests.e2e import agents
from tests.e2e.clinic import Clinic


@dataclass(frozen=True)
class Authority:
    """`revocation`: method and path of the call that ends every one of the tokens."""

    tokens: list[str]
    revocation: tuple[str, str]


def keys(clinic: Clinic, count: int) -> list[Authority]:
    made = [clinic.new_key("control:read", "ai:chat") for _ in range(count)]
    return [Authority([token], ("DELETE", f"/v1/api_keys/{key_id}")) for key_id, token in made]


def chains(clinic: Clinic, count: int, *, policy: str = "kill") -> list[Authority]:
    """Credentials that a human issued, each with three that were delegated in a chain; revoked at the root."""
    ids = [agents.register(clinic, default_revocation_policy=policy) for _ in range(4)]
    tool = agents.tool("calendar_find_slots")
    made = []
    for _ in range(count):
        grants = [tool, *(agents.delegation(each, max_chain_depth=3) for each in ids[1:])]
        chain = [agents.issue(clinic, ids[0], *grants)]
        for depth, agent_id in enumerate(ids[1:], start=1):
            chain.append(chain[-1].delegated(agent_id, tool, *grants[1 + depth :]))
        made.append(Authority([held.token for held in chain], ("POST", f"{chain[0].path}/revoke")))
    return made
