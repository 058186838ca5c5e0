"""The native surface: a turn, its answer, and the events of a streamed one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.inference.domain.catalogue import Model
from services.inference.domain.usage import Usage

DEFAULT_MODEL = "claude-sonnet-4-6"
DEFAULT_MAX_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """What the caller asks."""

    message: str
    model: str = DEFAULT_MODEL
    stream: bool = True
    conversation_id: str | None = None
    store: bool = True
    system: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS


@dataclass(frozen=True, slots=True)
class UsageSummary:
    model: str
    input_tokens: int
    output_tokens: int
    sonnet_equivalent_tokens: int
    cost_usd: float

    @classmethod
    def of(cls, model_id: str, model: Model | None, usage: Usage) -> "UsageSummary":
        """`model` is None for a record of a model that has left the catalogue."""
        return cls(
            model=model_id,
            input_tokens=usage.all_input_tokens,
            output_tokens=usage.output_tokens,
            sonnet_equivalent_tokens=model.credits(usage) if model else 0,
            cost_usd=model.cost_usd(usage) if model else 0.0,
        )


@dataclass(frozen=True, slots=True)
class PhiSummary:
    mode: str
    action: str
    entity_types: list[str]
    redaction_count: int
    restored_count: int

    @classmethod
    def of(cls, phi: Mapping[str, Any], restored_count: int) -> "PhiSummary":
        """`phi` as the record keeps it."""
        return cls(phi["mode"], phi["action"], list(phi["entity_types"]), phi["redaction_count"], restored_count)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A whole answer. `request_id` is a bare ULID."""

    request_id: str
    content: str
    conversation_id: str | None
    usage: UsageSummary
    phi: PhiSummary


@dataclass(frozen=True, slots=True)
class RunEvent:
    """`run.created` … `run.cancelled`."""

    type: str
    status: str
    request_id: str
    model: str
    conversation_id: str | None
    created_at: datetime
    phi: PhiSummary | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """`message.created`, `message.completed`."""

    type: str
    request_id: str
    status: str
    content: str


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    request_id: str
    text: str


@dataclass(frozen=True, slots=True)
class UsageEvent:
    usage: UsageSummary


@dataclass(frozen=True, slots=True)
class Ping:
    """Silence, said aloud."""


ChatEvent = RunEvent | MessageEvent | DeltaEvent | UsageEvent | Ping
