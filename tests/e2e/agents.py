"""Agents of a clinic, and the credentials that they act with."""

import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx

from tests.e2e.clinic import Clinic

_numbers = itertools.count()


@dataclass(frozen=True)
class Held:
    """A credential in the hands of its agent."""

    clinic: Clinic
    shown: dict[str, Any]
    """The credential as the answer showed it."""
    token: str

    @property
    def id(self) -> str:
        return self.shown["id"]

    @property
    def agent_id(self) -> str:
        return self.shown["agent_id"]

    @property
    def path(self) -> str:
        return f"/v1/agents/{self.agent_id}/credentials/{self.id}"

    @property
    def expires_at(self) -> datetime:
        return datetime.fromisoformat(self.shown["expires_at"])

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request with the credential's token."""
        return self.clinic.http.request(method, path, headers={"authorization": f"Bearer {self.token}"}, **more)

    def sdk(self) -> anthropic.Anthropic:
        """As the agent's developer makes it. To be closed."""
        return anthropic.Anthropic(base_url=self.clinic.suite.base_url, api_key=self.token, max_retries=0)

    def is_accepted(self) -> bool:
        status = self.send("GET", "/v1/models").status_code
        assert status in (200, 401)
        return status == 200

    def authorize(self, **action: Any) -> httpx.Response:
        return self.send("POST", "/v1/invocations", json={"action": action})

    def delegate(self, agent_id: str, *grants: dict[str, Any], **more: Any) -> httpx.Response:
        """Issues to another agent with this credential's token."""
        return self.send("POST", f"/v1/agents/{agent_id}/credentials", json=_wanted(*grants, **more))

    def delegated(self, agent_id: str, *grants: dict[str, Any], **more: Any) -> "Held":
        return _held(self.clinic, self.delegate(agent_id, *grants, **more))

    def outlive(self) -> None:
        """Waits until it has expired. Answers show moments to the second."""
        time.sleep(max(0.0, (self.expires_at - datetime.now(UTC)).total_seconds()) + 1.05)

    def revoke(self, **more: Any) -> dict[str, Any]:
        """By the clinic; `{"credential", "cascade_revoked_credential_ids"}`."""
        answer = self.clinic.http.post(f"{self.path}/revoke", json=more)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def register(clinic: Clinic, **settings: Any) -> str:
    """The id of a new agent; what is not said is ordinary."""
    ordinary = {"name": f"Agent {next(_numbers)}", "default_expiry_hours": 8, "default_revocation_policy": "drain"}
    answer = clinic.http.post("/v1/agents", json=ordinary | settings)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["agent"]["id"]


def request(clinic: Clinic, agent_id: str, *grants: dict[str, Any], **more: Any) -> httpx.Response:
    """Asks for a credential with the clinic's key."""
    return clinic.http.post(f"/v1/agents/{agent_id}/credentials", json=_wanted(*grants, **more))


def issue(clinic: Clinic, agent_id: str, *grants: dict[str, Any], **more: Any) -> Held:
    return _held(clinic, request(clinic, agent_id, *grants, **more))


def equip(clinic: Clinic, *grants: dict[str, Any], **more: Any) -> Held:
    """A credential of a new agent."""
    return issue(clinic, register(clinic), *grants, **more)


def tool(tool_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "external.tool.invoke", "tool_id": tool_id, **more}


def delegation(to_agent_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "agent.delegate", "to_agent_id": to_agent_id, **more}


def _wanted(*grants: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "Night shift", "granted_scopes": list(grants or [tool("calendar_find_slots")]), **more}


def _held(clinic: Clinic, answer: httpx.Response) -> Held:
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    return Held(clinic, data["credential"], data["token"])
