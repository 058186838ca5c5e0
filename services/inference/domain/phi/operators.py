"""What becomes of a detected value, by its entity type: Presidio's operators, and the placeholder that can be restored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from services.inference.domain.phi.entities import BY_NAME

DEFAULT = "DEFAULT"
"""In the place of an entity type: all those that are not named."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`[PERSON_1]`: the one that can be restored."""

    name: ClassVar[str] = "placeholder"


@dataclass(frozen=True, slots=True)
class Replace:
    """Empty: the entity type in angle brackets."""

    name: ClassVar[str] = "replace"
    new_value: str = ""


@dataclass(frozen=True, slots=True)
class Redact:
    name: ClassVar[str] = "redact"


@dataclass(frozen=True, slots=True)
class Mask:
    """`chars_to_mask` None: all."""

    name: ClassVar[str] = "mask"
    masking_char: str = "*"
    chars_to_mask: int | None = None
    from_end: bool = False


@dataclass(frozen=True, slots=True)
class Hash:
    """SHA-256 of the value and the organization's salt, in 64 hexadecimal digits."""

    name: ClassVar[str] = "hash"


@dataclass(frozen=True, slots=True)
class Keep:
    """Reported and left as it is."""

    name: ClassVar[str] = "keep"


Operator = Placeholder | Replace | Redact | Mask | Hash | Keep
Value = tuple[str, str]
"""Entity type and what was found."""


class UnknownEntityType(ValueError):
    """Without the name: whoever wrote a wrong one may have written a value."""


@dataclass(frozen=True, slots=True)
class Operators:
    """Entity type, or DEFAULT, to operator. Raises UnknownEntityType."""

    by_type: Mapping[str, Operator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.by_type.keys() <= {*BY_NAME, DEFAULT}:
            raise UnknownEntityType("not an entity type")

    def of(self, entity_type: str) -> Operator:
        return self.by_type.get(entity_type) or self.by_type.get(DEFAULT) or Placeholder()

    def keeps(self, entity_type: str) -> bool:
        return isinstance(self.of(entity_type), Keep)

    def anonymizes(self, entity_type: str) -> bool:
        """Whether an Anonymizer has to be asked."""
        return not isinstance(self.of(entity_type), Placeholder | Keep)

    @property
    def written(self) -> list[str]:
        """What the caller wants to read in the place of values."""
        return [operator.new_value for operator in self.by_type.values() if isinstance(operator, Replace)]


class Anonymizer(Protocol):
    async def anonymize(
        self, values: Sequence[Value], operators: Operators, *, salt: bytes, deadline: float
    ) -> list[str]:
        """What stands in the place of each value. `deadline` is on `time.monotonic()`; raises PhiGuardUnavailable."""
        ...
