"""A witness: it keeps the newest checkpoint that it has seen, and takes a later one only with a proof that nothing before it was changed."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urlsplit

from cli.audit_verifier import Keys, NotVerified, Signed, checkpoint, is_prefix
from cli.state import write_private

_SECONDS = 30
_MOST_BYTES = 1 << 20


class Unreachable(Exception):
    """The deployment did not answer the question."""


def witness(url: str, api_key: str, keys: Keys, kept: Path) -> tuple[Signed | None, Signed]:
    """Look at the organization's tree once; what was kept before, and the checkpoint that is kept now.

    `kept` holds the note. Raises NotVerified for a tree that is smaller or another one, or is not signed by a trusted key; then nothing
    is written. Raises Unreachable.
    """
    before = None
    if kept.exists():
        text = kept.read_text(encoding="utf-8")
        before = checkpoint(text, text.partition("\n")[0], keys)
    note, hashes = _ask(url, api_key, before.size if before else 0)
    origin = note.partition("\n")[0]
    now = checkpoint(note, origin, keys)
    if before is not None:
        if before.text.partition("\n")[0] != origin:
            raise NotVerified("the checkpoint is of another tree")
        if not is_prefix(before.size, now.size, before.root, now.root, hashes):
            raise NotVerified(
                f"the tree of {before.size} leaves that was seen before is not a prefix of the one of {now.size}"
            )
    write_private(kept, note)
    return before, now


def _ask(url: str, api_key: str, from_size: int) -> tuple[str, list[bytes]]:
    """The newest checkpoint's note, and the hashes that prove it a continuation."""
    connection, parts = _connection(url)
    try:
        path = f"{parts.path.rstrip('/')}/v1/audit/consistency?{urlencode({'from_size': from_size})}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {api_key}"})
        answer = connection.getresponse()
        body = json.loads(answer.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as failure:
        raise Unreachable(f"the deployment did not answer: {type(failure).__name__}") from failure
    finally:
        connection.close()
    if answer.status == http.client.UNPROCESSABLE_ENTITY and from_size:
        raise NotVerified(f"the tree is smaller than the {from_size} leaves that were seen before")
    if answer.status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        raise Unreachable(
            f"the deployment answered {answer.status}: HASP_API_KEY must hold a key with the scope control:read"
        )
    if answer.status != http.client.OK:
        raise Unreachable(f"the deployment answered {answer.status}")
    try:
        note, hashes = body["data"]["checkpoint"], [bytes.fromhex(hashed) for hashed in body["data"]["hashes"]]
        note.encode()
    except (TypeError, KeyError, ValueError, AttributeError):
        raise Unreachable("the deployment's answer cannot be read") from None
    return note, hashes


def _connection(url: str) -> tuple[http.client.HTTPConnection, SplitResult]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unreachable("the address is not one of HTTP") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise Unreachable("the address is not one of HTTP")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_SECONDS), parts
    trusted = ssl.create_default_context()
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=trusted), parts
