"""A customer of the suite: an organization with a person, a key and clients that use it."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx

from cli.organizations import SCOPES, Organizations
from cli.suite import Suite

MODEL = "claude-sonnet-4-6"


@dataclass
class Clinic:
    suite: Suite
    org_id: str
    name: str
    user_id: str
    email: str
    """The user's."""
    key: str
    http: httpx.Client = field(init=False)
    """Sends the key as a bearer token."""
    sdk: anthropic.Anthropic = field(init=False)
    """As a customer makes it: base URL and key, nothing else."""

    def __post_init__(self) -> None:
        self.http = self.http_with(self.key)
        self.sdk = anthropic.Anthropic(base_url=self.suite.base_url, api_key=self.key)

    @classmethod
    def open(cls, suite: Suite, *, plan: str = "enterprise", baa: bool = True) -> "Clinic":
        """A new organization whose billing account exists and, unless told otherwise, whose agreement is signed."""
        clinic = cls.create(suite, plan=plan)
        clinic.wait_for_account()
        if baa:
            clinic.sign_baa()
        return clinic

    @classmethod
    def create(cls, suite: Suite, *, plan: str = "enterprise") -> "Clinic":
        """A new organization with a person and a key, of which the siblings have not heard yet."""
        organizations = Organizations(suite.places.address("identity"), suite.places.tls)
        try:
            name = f"clinic-{uuid.uuid4().hex[:12]}"
            org_id = organizations.create(name, plan)
            email = f"owner@{name}.example"
            user_id = organizations.create_user(org_id, email=email, name="Owner", role="owner")
            key = organizations.issue_key(org_id, user_id, name="first", scopes=SCOPES)
        finally:
            organizations.close()
        return cls(suite, org_id, name, user_id, email, key.plaintext)

    def wait_for_account(self) -> None:
        wait_until(lambda: self.http.get("/v1/usage").status_code == 200, seconds=20)

    def http_with(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.suite.base_url, headers=headers, timeout=30, trust_env=False)

    def sign_baa(self) -> httpx.Response:
        version = self.get("/v1/compliance/baa")["template"]["version"]
        signed = self.http.post(
            "/v1/compliance/baa/acceptances",
            json={
                "template_version": version,
                "signer_name": "Quentin Marlowe",
                "signer_title": "Privacy Officer",
                "signer_email": "privacy@clinic.example",
                "accept": True,
            },
        )
        assert signed.status_code == 201, signed.text
        return signed

    def get(self, path: str, **parameters: Any) -> Any:
        """`data` of a successful answer."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def put(self, path: str, **fields: Any) -> Any:
        answer = self.http.put(path, json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def new_key(self, *scopes: str, **more: Any) -> tuple[str, str]:
        """Id and plaintext of a further key."""
        answer = self.http.post("/v1/api_keys", json={"name": "further", "scopes": scopes, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["id"], answer.json()["data"]["plaintext"]

    def chat(self, message: str, **more: Any) -> httpx.Response:
        """The native surface, not streaming unless asked to."""
        return self.http.post("/v1/ai/chat", json={"message": message, "stream": False, **more})

    def message(self, content: Any, **more: Any) -> httpx.Response:
        """The Anthropic surface without the SDK."""
        body = {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": content}], **more}
        return self.http.post("/v1/messages", json=body)

    def ask(self, content: Any, **more: Any) -> anthropic.types.Message:
        """The Anthropic surface with the SDK."""
        turns = [{"role": "user", "content": content}]
        return self.sdk.messages.create(**{"model": MODEL, "max_tokens": 1000, "messages": turns, **more})

    def record(self, id: str) -> Any:  # noqa: A002  # the API's own name
        return self.get(f"/v1/ai/messages/{id}")

    def settled_requests(self) -> int:
        return self.get("/v1/usage")["requests"]["total"]

    def wait_until_settled(self, requests: int) -> Any:
        """The usage, once so many requests are booked and nothing is held any more."""

        def settled() -> bool:
            usage = self.get("/v1/usage")
            return usage["requests"]["total"] == requests and usage["credits"]["reserved"] == 0

        wait_until(settled, seconds=10)
        return self.get("/v1/usage")

    def audit(self, **filters: Any) -> list[Any]:
        """All entries that pass the filters, newest first."""
        entries: list[Any] = []
        cursor = None
        while True:
            parameters = {**filters, "limit": 200, **({"cursor": cursor} if cursor else {})}
            page = self.http.get("/v1/audit", params=parameters).json()
            entries += page["data"]
            cursor = page["meta"]["next_cursor"]
            if not page["meta"]["has_more"]:
                return entries

    def close(self) -> None:
        self.http.close()
        self.sdk.close()


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.03)


def said(message: anthropic.types.Message) -> str:
    """The text blocks of an answer, joined."""
    return "".join(block.text for block in message.content if block.type == "text")
