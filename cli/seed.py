"""A first organization to try things with: the same at every start, agreement signed, key kept until it fails."""

import json
import secrets
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus

import grpc

from cli.clients import CallError
from cli.edge import Answer, Edge
from cli.organizations import Organizations
from cli.state import write_private
from cli.suite import Suite

_NAME = "Example Clinic"
_PLAN = "scale"
_EMAIL = "owner@clinic.example"
_AGREEMENT = "/v1/compliance/baa"
_ACCOUNT_SECONDS = 20.0  # the billing account follows the organization through identity's outbox


class SeedError(RuntimeError):
    """The edge did not do for the seeded organization what it does for any."""


@dataclass(frozen=True)
class Seeded:
    org_id: str
    user_id: str
    api_key: str


def seed(suite: Suite) -> Seeded:
    """The example organization of a running suite."""
    kept, port = suite.state / "seed.json", suite.places.edge_port
    known = Seeded(**json.loads(kept.read_text())) if kept.exists() else None
    seeded = known
    if seeded is None or Edge(port, seeded.api_key).get(_AGREEMENT).status != HTTPStatus.OK:
        seeded = _create(suite, known)
        write_private(kept, json.dumps(asdict(seeded)))
    edge = Edge(port, seeded.api_key)
    _sign_agreement(edge)
    _await_account(edge)
    return seeded


def _create(suite: Suite, known: Seeded | None) -> Seeded:
    with Organizations(suite.places.address("identity"), suite.places.tls) as organizations:
        org_id = organizations.find(_NAME) or organizations.create(_NAME, _PLAN)
        user_id = known.user_id if known and known.org_id == org_id else _create_user(organizations, org_id)
        key = organizations.issue_key(org_id, user_id, name="development")
    return Seeded(org_id, user_id, key.plaintext)


def _create_user(organizations: Organizations, org_id: str) -> str:
    """The owner; under another address where one exists whose id was lost with the state folder."""
    try:
        return organizations.create_user(org_id, email=_EMAIL, name="Example Owner", role="owner")
    except CallError as error:
        if error.code is not grpc.StatusCode.INVALID_ARGUMENT:  # the address is taken
            raise
    another = f"owner-{secrets.token_hex(4)}@clinic.example"
    return organizations.create_user(org_id, email=another, name="Example Owner", role="owner")


def _sign_agreement(edge: Edge) -> None:
    agreement = _succeed(edge.get(_AGREEMENT)).data
    if agreement["status"] == "active":
        return
    signature = {
        "template_version": agreement["template"]["version"],
        "signer_name": "Example Owner",
        "signer_title": "Owner",
        "signer_email": _EMAIL,
        "accept": True,
    }
    _succeed(edge.post(agreement["signing"]["path"], signature))


def _await_account(edge: Edge) -> None:
    deadline = time.monotonic() + _ACCOUNT_SECONDS
    while (answer := edge.get("/v1/usage")).status != HTTPStatus.OK:
        if time.monotonic() > deadline:
            _succeed(answer)
        time.sleep(0.05)


def _succeed(answer: Answer) -> Answer:
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise SeedError(f"the edge answered {answer.status}: {answer.text}")
    return answer
