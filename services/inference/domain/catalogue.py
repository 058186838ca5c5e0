"""The models: one versioned file that inference and billing both read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import orjson

from services.chassis.errors import ValidationFailed
from services.chassis.timestamps import iso, parse_iso
from services.inference.domain.errors import ModelRetired
from services.inference.domain.usage import Usage

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True)
class Weights:
    """What a cached input token counts for in credits, against an uncached one."""

    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    upstream_id: str
    display_name: str
    created_at: str
    ratio: Decimal
    prices: Prices
    weights: Weights
    needs_opt_in: bool
    retires_at: datetime | None
    recommended_replacement: str | None
    is_retired: bool

    def retired(self, now: datetime) -> bool:
        return self.is_retired or (self.retires_at is not None and self.retires_at <= now)

    def cost_usd(self, usage: Usage) -> float:
        """The list price."""
        prices = self.prices
        dollars = (
            prices.input * usage.input_tokens
            + prices.output * usage.output_tokens
            + prices.cache_read * usage.cache_read_tokens
            + prices.cache_write * usage.cache_write_tokens
        ) / _MILLION
        return float(dollars.quantize(Decimal("0.00000001"), ROUND_HALF_UP))

    def credits(self, usage: Usage) -> int:
        """Sonnet-equivalent tokens, rounded half-up as they are shown."""
        weighed = (
            usage.input_tokens
            + usage.output_tokens
            + self.weights.cache_read * usage.cache_read_tokens
            + self.weights.cache_write * usage.cache_write_tokens
        )
        return int((weighed * self.ratio).quantize(Decimal(1), ROUND_HALF_UP))


class Catalogue:
    """Newest model first, as listed."""

    def __init__(self, version: str, models: Sequence[Model]) -> None:
        self.version = version
        self._models: Mapping[str, Model] = {model.id: model for model in models}

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Raises KeyError or ValueError for a file that is no catalogue."""
        written = orjson.loads(path.read_bytes())
        weights = Weights(**{name: Decimal(weight) for name, weight in written["weights"].items()})
        return cls(written["version"], [_model(entry, weights) for entry in written["models"]])

    def find(self, model_id: str) -> Model | None:
        """Retired ones too: records name them."""
        return self._models.get(model_id)

    def callable_models(self, now: datetime) -> list[Model]:
        listed = [model for model in self._models.values() if not model.retired(now)]
        return sorted(listed, key=lambda model: model.created_at, reverse=True)

    def get(self, model_id: str, now: datetime) -> Model:
        """The model to call. Raises ValidationFailed for an unknown one, ModelRetired."""
        model = self._models.get(model_id)
        if model is None:
            raise ValidationFailed("model: not in the catalogue; GET /v1/models lists it.", param="model")
        if model.retired(now):
            raise ModelRetired(model.recommended_replacement)
        return model


def _model(entry: dict, weights: Weights) -> Model:
    prices = entry["price_usd_per_million"]
    return Model(
        id=entry["id"],
        upstream_id=entry["upstream_id"],
        display_name=entry["display_name"],
        created_at=iso(parse_iso(entry["created_at"])),
        ratio=Decimal(entry["credit_ratio"]),
        prices=Prices(**{name: Decimal(prices[name]) for name in ("input", "output", "cache_read", "cache_write")}),
        weights=weights,
        needs_opt_in=entry["opt_in"] is not None,
        retires_at=parse_iso(entry["retires_at"]) if entry["retires_at"] else None,
        recommended_replacement=entry["recommended_replacement"],
        is_retired=entry["status"] == "retired",
    )
