"""What a request used, and how it is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Basis(StrEnum):
    REPORTED = "reported"
    """The provider said so, at the end."""
    COUNTED = "counted"
    """The provider said what went in; what came out we counted."""
    UNKNOWN = "unknown"
    """It ended before any usage arrived: the input as bounded at reservation, output 0."""


@dataclass(slots=True)
class Usage:
    """Tokens. The three kinds of input never overlap."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    basis: Basis = Basis.UNKNOWN

    @property
    def all_input_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    def take(self, reported: Mapping[str, Any]) -> None:
        """The provider's `usage` object; later ones replace what they name, as its counts are cumulative."""
        self.input_tokens = _count(reported, "input_tokens", self.input_tokens)
        self.output_tokens = _count(reported, "output_tokens", self.output_tokens)
        self.cache_read_tokens = _count(reported, "cache_read_input_tokens", self.cache_read_tokens)
        self.cache_write_tokens = _count(reported, "cache_creation_input_tokens", self.cache_write_tokens)


def _count(reported: Mapping[str, Any], name: str, known: int) -> int:
    value = reported.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else known


def counted_tokens(characters: int) -> int:
    """Tokens of delivered text where nobody reported them: one for every four characters begun."""
    return -(-characters // 4)
