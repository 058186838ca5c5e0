"""Token counts and the prompt cache, by simple rules that a test can do in its head: four characters are a token."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import orjson

from cli.simulator.prompt import Block, Prompt, texts

_PER_TURN = 3
_PER_IMAGE = 1_600
_TOOL_USE_PROMPT = 346
"""What the provider adds to the input as soon as tools are offered."""
_FIVE_MINUTES, _ONE_HOUR = 300.0, 3600.0


def tokens(text: str) -> int:
    """At least one, else a token for every four characters begun."""
    return max(1, -(-len(text) // 4))


def _weigh(block: Block) -> int:
    if block.get("type") == "image":
        return _PER_IMAGE
    return sum(tokens(text) for text in texts(block))


@dataclass(frozen=True, slots=True)
class InputUsage:
    """Input tokens as the provider reports them: the three counts never overlap."""

    fresh: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def total(self) -> int:
        return self.fresh + self.read + self.written_5m + self.written_1h

    def wire(self) -> dict[str, Any]:
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
        }

    def wire_with_lifetimes(self) -> dict[str, Any]:
        return {
            **self.wire(),
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
        }


@dataclass(frozen=True, slots=True)
class _Breakpoint:
    digest: bytes
    weight: int
    lifetime: float


def _lay_out(prompt: Prompt) -> tuple[int, list[_Breakpoint]]:
    """The whole weight, and what may be cached: everything before each `cache_control`, tools, system, messages."""
    weight, breakpoints = 0, []
    digest = hashlib.sha256()

    def add(part: dict[str, Any], more: int) -> None:
        nonlocal weight
        weight += more
        control = part.get("cache_control")
        digest.update(orjson.dumps({key: value for key, value in part.items() if key != "cache_control"}))
        if isinstance(control, dict):
            lifetime = _ONE_HOUR if control.get("ttl") == "1h" else _FIVE_MINUTES
            breakpoints.append(_Breakpoint(digest.digest(), weight, lifetime))

    if prompt.tools:
        weight += _TOOL_USE_PROMPT
    for tool in prompt.tools:
        add(tool, tokens(orjson.dumps(tool).decode()))
    for block in prompt.system_blocks:
        add(block, _weigh(block))
    for turn in prompt.messages:
        weight += _PER_TURN
        digest.update(turn.role.encode())
        for block in turn.blocks:
            add(block, _weigh(block))
    if prompt.cache_control is not None:
        add({"cache_control": prompt.cache_control}, 0)
    return weight, breakpoints


def count(prompt: Prompt) -> int:
    """All input tokens of the prompt, cached or not."""
    return _lay_out(prompt)[0]


class PromptCache:
    """Which prefixes were seen and until when. The provider's least cacheable length is left out."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def account(self, prompt: Prompt) -> InputUsage:
        """Splits the prompt's tokens and remembers its prefixes, as one call of the provider does."""
        now = time.monotonic()
        self._until = {digest: until for digest, until in self._until.items() if until > now}
        weight, breakpoints = _lay_out(prompt)
        if not breakpoints:
            return InputUsage(fresh=weight)
        read = max((each.weight for each in breakpoints if each.digest in self._until), default=0)
        written = {_FIVE_MINUTES: 0, _ONE_HOUR: 0}
        reached = read
        for each in breakpoints:
            self._until[each.digest] = now + each.lifetime
            if each.weight > reached:
                written[each.lifetime] += each.weight - reached
                reached = each.weight
        return InputUsage(weight - reached, read, written[_FIVE_MINUTES], written[_ONE_HOUR])
