"""The models that the simulator lists; it answers for any other whose name begins with `claude-`, too."""

from typing import Any

_LISTED = (
    ("claude-opus-4-6", "Claude Opus 4.6", "opus", "2026-02-05T00:00:00Z", 128_000),
    ("claude-sonnet-4-6", "Claude Sonnet 4.6", "sonnet", "2026-02-17T00:00:00Z", 64_000),
    ("claude-haiku-4-5", "Claude Haiku 4.5", "haiku", "2025-10-15T00:00:00Z", 64_000),
)


def _wire(model: str, name: str, line: str, created_at: str, max_tokens: int) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model,
        "display_name": name,
        "created_at": created_at,
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": line,
        "max_input_tokens": 200_000,
        "max_tokens": max_tokens,
    }


def every() -> list[dict[str, Any]]:
    """Newest line first, as the provider lists them."""
    return [_wire(*each) for each in _LISTED]


def find(model: str) -> dict[str, Any] | None:
    return next((each for each in every() if each["id"] == model), None)
