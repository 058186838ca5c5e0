"""What was found in a block, so that a re-sent conversation is scanned once. No text is kept, and no value."""

import hmac
from collections import OrderedDict

from services.inference.domain.phi.spans import Span


class BlockCache:
    """Least recently used first out, per organization; whole organizations go when there is too much of all."""

    def __init__(self, version: str, *, per_org: int, total: int) -> None:
        self._version = version.encode() + b"\0"
        self._per_org = per_org
        self._total = total
        self._size = 0
        self._orgs: OrderedDict[bytes, OrderedDict[bytes, tuple[Span, ...]]] = OrderedDict()

    def key(self, org_key: bytes, block: str) -> bytes:
        """HMAC(org key, versions, block): without the organization's secret nobody can ask whether a text was seen."""
        return hmac.digest(org_key, self._version + block.encode("utf-8", "surrogatepass"), "sha256")

    def get(self, org_key: bytes, key: bytes) -> tuple[Span, ...] | None:
        blocks = self._orgs.get(org_key)
        spans = blocks.get(key) if blocks else None
        if blocks and spans is not None:
            blocks.move_to_end(key)
            self._orgs.move_to_end(org_key)
        return spans

    def put(self, org_key: bytes, key: bytes, spans: tuple[Span, ...]) -> None:
        blocks = self._orgs.setdefault(org_key, OrderedDict())
        self._orgs.move_to_end(org_key)
        self._size += key not in blocks
        blocks[key] = spans
        blocks.move_to_end(key)
        if len(blocks) > self._per_org:
            blocks.popitem(last=False)
            self._size -= 1
        while self._size > self._total and len(self._orgs) > 1:
            _, dropped = self._orgs.popitem(last=False)
            self._size -= len(dropped)
