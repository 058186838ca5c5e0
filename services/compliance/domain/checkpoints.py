"""Checkpoints: what the operator signs of a tree, in the form of C2SP `tlog-checkpoint`.

    <origin>
    <size>
    <root, base64>

The origin of an organization's tree is `<deployment>/audit/<org id>`, that of the log of logs `<deployment>/audit`; the key that signs
bears the origin as its name, so that a verifier key is good for one tree alone. A leaf of the log of logs is the text of a checkpoint:
who keeps its checkpoints can tell that no organization was shown two histories, or lost its tree.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.notes import Signer
from services.compliance.domain.leaves import leaf_hash

LOG_OF_LOGS = ""
"""In place of an organization's id."""

_MOST_SIGNERS = 10_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    tree_size: int
    root_hash: bytes
    note: str
    created_at: datetime


class Signers:
    """The operator's key under the name of each tree."""

    def __init__(self, deployment: str, key: Ed25519PrivateKey) -> None:
        self._deployment = deployment
        self._key = key
        self._of: dict[str, Signer] = {}

    def of(self, org_id: str) -> Signer:
        """That of an organization's tree, or of LOG_OF_LOGS."""
        found = self._of.get(org_id)
        if found is None:
            if len(self._of) >= _MOST_SIGNERS:
                self._of.clear()
            found = self._of[org_id] = Signer(origin(self._deployment, org_id), self._key)
        return found


def origin(deployment: str, org_id: str) -> str:
    return f"{deployment}/audit/{org_id}" if org_id else f"{deployment}/audit"


def text(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def head_hash(text: str) -> bytes:
    """Of the leaf that this checkpoint is in the log of logs."""
    return leaf_hash(text.encode())
