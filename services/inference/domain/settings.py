"""How an organization's inference behaves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from services.chassis.errors import ValidationFailed

MOST_RETENTION_DAYS = 36_500
_LONGEST_SYSTEM = 100_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The guard itself cannot be switched off: there is no third `phi_mode`."""

    phi_mode: Literal["redact", "block"] = "redact"
    phi_restore: bool = True
    storage_mode: Literal["full", "none"] = "full"
    image_policy: Literal["refuse", "pass"] = "refuse"
    default_system: str | None = None
    retention_days: int = 2555

    def patched(self, patch: Mapping[str, Any]) -> "Settings":
        """With the fields that `patch` names. Raises ValidationFailed naming the first that is unknown or out of range."""
        changes: dict[str, Any] = {}
        for field, value in patch.items():
            if field in _CHOICES:
                if value not in _CHOICES[field]:
                    raise ValidationFailed(f"{field}: must be one of {', '.join(_CHOICES[field])}.", param=field)
            elif field == "phi_restore":
                if not isinstance(value, bool):
                    raise ValidationFailed("phi_restore: must be true or false.", param=field)
            elif field == "default_system":
                value = _system(value)  # noqa: PLW2901
            elif field == "retention_days":
                value = _days(value)  # noqa: PLW2901
            else:
                raise ValidationFailed(f"{field}: no such setting.", param=field)
            changes[field] = value
        return replace(self, **changes)

    def changed_fields(self, before: "Settings") -> list[str]:
        return [field for field in self.__dataclass_fields__ if getattr(self, field) != getattr(before, field)]


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "phi_mode": ("redact", "block"),
    "storage_mode": ("full", "none"),
    "image_policy": ("refuse", "pass"),
}


def _system(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_SYSTEM:
        raise ValidationFailed(
            f"default_system: must be a text of at most {_LONGEST_SYSTEM} characters, or null.", param="default_system"
        )
    return value or None


def _days(value: Any) -> int:
    # Numbers of a google.protobuf.Struct are doubles.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValidationFailed("retention_days: must be a whole number.", param="retention_days")
    if not 1 <= value <= MOST_RETENTION_DAYS:
        raise ValidationFailed(f"retention_days: must be 1 to {MOST_RETENTION_DAYS}.", param="retention_days")
    return int(value)
