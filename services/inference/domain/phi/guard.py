"""The guard: a request goes in, a request without PHI comes out, or a refusal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.inference.domain.phi.citations import Cited
from services.inference.domain.phi.detection import Detector, detected, fill
from services.inference.domain.phi.documents import DocumentReader, read_documents
from services.inference.domain.phi.leaves import Leaves
from services.inference.domain.phi.masking import Redaction, mask, settle
from services.inference.domain.phi.messages import RequestWalk
from services.inference.domain.phi.placeholders import PlaceholderMap
from services.inference.domain.phi.refusals import PhiBlocked, PhiInToolSchema
from services.inference.domain.phi.tools import ToolText


@dataclass(frozen=True, slots=True)
class Policy:
    """The organization's settings that matter here. Without `restore` nobody reads placeholders back."""

    mode: Literal["redact", "block"] = "redact"
    image_policy: Literal["refuse", "pass"] = "refuse"
    restore: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """One stored turn of a native conversation, as its people saw it (values, not placeholders)."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the guard made of a request; `map` is PHI."""

    map: PlaceholderMap
    redactions: list[Redaction]
    removed_documents: list[str]  # paths

    @property
    def entity_types(self) -> list[str]:
        return sorted({redaction.entity_type for redaction in self.redactions})

    @property
    def by_type(self) -> dict[str, int]:
        """Entity type → masked spans."""
        return dict(sorted(Counter(redaction.entity_type for redaction in self.redactions).items()))

    @property
    def redaction_count(self) -> int:
        return len(self.redactions)

    @property
    def action(self) -> Literal["none", "redacted"]:
        return "redacted" if self.redactions or self.removed_documents else "none"


@dataclass(frozen=True, slots=True)
class ScannedMessages(Scanned):
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScannedChat(Scanned):
    system: str | None
    messages: list[dict[str, Any]]


class Guard:
    """Stateless; one for the process."""

    def __init__(self, detector: Detector, documents: DocumentReader) -> None:
        self._detector = detector
        self._documents = documents

    async def scan_messages(
        self, body: dict[str, Any], *, policy: Policy, org_key: bytes, deadline: float
    ) -> ScannedMessages:
        """A masked copy of a request in the Messages API's wire format (`count_tokens` too)."""
        await self.check_tools(body.get("tools"), org_key=org_key, deadline=deadline)
        request = _copy(body)
        removed = await read_documents(request, self._documents, block=policy.mode == "block", deadline=deadline)
        cited = Cited(body, request, removed)
        walk = RequestWalk(request, pass_images=policy.image_policy == "pass")
        placeholders = PlaceholderMap()
        redactions = await self._mask(walk.leaves, placeholders, policy, org_key, deadline)
        placeholders.citations = cited.moved_by((r.path, (*r.place, len(r.placeholder))) for r in redactions if r.place)
        return ScannedMessages(placeholders, redactions, removed, request)

    async def scan_chat(
        self,
        *,
        system: str | None,
        turns: Sequence[Turn],
        message: str,
        policy: Policy,
        org_key: bytes,
        deadline: float,
        placeholders: PlaceholderMap | None = None,
    ) -> ScannedChat:
        """A native request: the conversation so far and the new message.

        Numbering goes on from `placeholders`, which stay as they are.
        """
        messages: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in turns]
        messages.append({"role": "user", "content": message})
        request: dict[str, Any] = {"messages": messages} if system is None else {"system": system, "messages": messages}
        walk = RequestWalk(request, pass_images=False)
        known = placeholders.copy() if placeholders else PlaceholderMap()
        newest = f"messages[{len(turns)}].content"
        try:
            redactions = await self._mask(walk.leaves, known, policy, org_key, deadline)
        except PhiBlocked as refusal:
            path = "message" if refusal.path == newest else refusal.path
            raise PhiBlocked(refusal.entity_types, refusal.reason, path, refusal.by_type) from None
        new = [
            replace(r, path="message") if r.path == newest else r for r in redactions if r.path in {"system", newest}
        ]
        return ScannedChat(known, new, [], request.get("system"), messages)

    async def check_tools(self, tools: list[dict[str, Any]] | None, *, org_key: bytes, deadline: float) -> None:
        """Raises PhiInToolSchema for the first tool with a detection in its name, description or schema."""
        texts = [ToolText(tool, f"tools[{index}]") for index, tool in enumerate(tools or ())]
        found = await detected([text.text for text in texts], self._detector, org_key, deadline)
        for index, (text, spans) in enumerate(zip(texts, found, strict=True)):
            if entity_types := text.hits(spans):
                raise PhiInToolSchema(f"tools[{index}]", entity_types)

    async def _mask(
        self, leaves: Leaves, placeholders: PlaceholderMap, policy: Policy, org_key: bytes, deadline: float
    ) -> list[Redaction]:
        await fill(leaves, self._detector, org_key, deadline)
        refused = [leaf for leaf in leaves.all if (policy.mode == "block" or leaf.write is None) and settle(leaf)]
        if refused:
            counts = Counter(span.entity_type for leaf in refused for span in settle(leaf))
            raise PhiBlocked(sorted(counts), "phi", refused[0].path, dict(sorted(counts.items())))
        if policy.restore:
            placeholders.avoid([*(leaf.text for leaf in leaves.all if not leaf.signed), *leaves.aside])
        redactions = mask(leaves.all, placeholders)
        leaves.finish()
        return redactions


def _copy(value: Any) -> Any:
    """A deep copy of parsed JSON; strings are shared."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
