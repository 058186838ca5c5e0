"""Why the guard refuses a request. None of them ever carries a value that was detected.

PhiRefusal
 ├─ PhiBlocked           403 PHI_BLOCKED
 ├─ PhiInToolSchema      400 PHI_IN_TOOL_SCHEMA
 ├─ PhiTooComplex        400 VALIDATION_FAILED (JSON nested deeper than the guard follows)
 └─ PhiGuardUnavailable  503 PHI_GUARD_UNAVAILABLE
     └─ PhiGuardSaturated  the same answer; the queue of the scanner is full
"""

from collections.abc import Mapping


class PhiRefusal(Exception):
    """The request must not leave."""


class PhiBlocked(PhiRefusal):
    """`reason` is `phi` (something was detected) or `unscannable` (it cannot be read). `by_type`: entity type → detections."""

    def __init__(
        self, entity_types: list[str], reason: str, path: str, by_type: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(f"PHI_BLOCKED {reason} at {path}")
        self.entity_types = entity_types
        self.reason = reason
        self.path = path
        self.by_type = dict(by_type or {})


class PhiInToolSchema(PhiRefusal):
    """`tool` is the tool's position, `tools[3]`: its name may be what was detected."""

    def __init__(self, tool: str, entity_types: list[str]) -> None:
        super().__init__(f"PHI_IN_TOOL_SCHEMA {tool}")
        self.tool = tool
        self.entity_types = entity_types


class PhiTooComplex(PhiRefusal):
    """`path` nests deeper than the guard follows."""

    def __init__(self, path: str) -> None:
        super().__init__(f"nested too deeply at {path}")
        self.path = path


class PhiGuardUnavailable(PhiRefusal):
    """The scanner failed, timed out or has not started: nothing may leave unscanned."""


class PhiGuardSaturated(PhiGuardUnavailable):
    """More work is waiting than the scanner may hold."""
