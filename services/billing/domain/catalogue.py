"""The catalogue: models, prices and plans, one versioned file that billing and inference read.

A version is priced for ever: every one that this deployment has seen is kept in the database, so that a late settlement, or yesterday's bill, is
computed by the prices it was made under.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.billing.domain.usage import Tokens

_Decimal = Annotated[str, StringConstraints(pattern=r"^\d{1,9}(\.\d{1,6})?$")]
"""A decimal number as a string: JSON's numbers are floats."""
_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prices(_Strict):
    """List prices, US dollars per million tokens."""

    input: _Decimal
    output: _Decimal
    cache_read: _Decimal
    cache_write: _Decimal


class Weights(_Strict):
    """What an input token counts that was read from, or written to, the provider's cache."""

    cache_read: _Decimal
    cache_write: _Decimal


class Model(_Strict):
    id: _Name
    upstream_id: _Name
    display_name: _Name
    created_at: AwareDatetime
    credit_ratio: _Decimal
    price_usd_per_million: Prices
    context_window: int = Field(gt=0)
    max_output_tokens: int = Field(gt=0)
    status: Literal["active", "retired"]
    retires_at: AwareDatetime | None
    recommended_replacement: _Name | None
    opt_in: Literal["opus"] | None
    """The budget's switch that has to be on."""


class Limits(_Strict):
    """None: unlimited. Requests count per key, tokens per organization."""

    requests_per_minute: int | None = Field(gt=0)
    requests_per_day: int | None = Field(gt=0)
    tokens_per_minute: int | None = Field(gt=0)


class Plan(_Strict):
    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    credits_per_cycle: int = Field(ge=0, lt=10**15)
    limits: Limits


class Catalogue(_Strict):
    """Versions sort as text: the day of the change, and where there are several a day a letter behind it."""

    version: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d[a-z]?$")]
    default_model: _Name
    weights: Weights
    models: tuple[Model, ...]
    plans: tuple[Plan, ...]

    @model_validator(mode="after")
    def _refers_to_what_it_holds(self) -> Catalogue:
        models, plans = [model.id for model in self.models], [plan.id for plan in self.plans]
        if len(set(models)) != len(models) or len(set(plans)) != len(plans):
            raise ValueError("an id is used twice")
        replacements = [model.recommended_replacement for model in self.models if model.recommended_replacement]
        if not {self.default_model, *replacements} <= set(models):
            raise ValueError("the default model or a replacement is not in the catalogue")
        return self

    @classmethod
    def parse(cls, document: bytes) -> Catalogue:
        """Strictly: an unknown or missing field, or a price that is not a string, raises ValueError."""
        return cls.model_validate_json(document, strict=True)


class Pricing:
    """The credits of one catalogue, ready to compute: Sonnet-equivalent tokens, exact."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._read = Decimal(catalogue.weights.cache_read)
        self._write = Decimal(catalogue.weights.cache_write)
        # The bound must hold whichever way the input is billed.
        self._dearest = max(Decimal(1), self._read, self._write)
        self._ratios: Mapping[str, Decimal] = {model.id: Decimal(model.credit_ratio) for model in catalogue.models}
        self._opus = frozenset(model.id for model in catalogue.models if model.opt_in == "opus")

    def knows(self, model: str) -> bool:
        return model in self._ratios

    def needs_opus(self, model: str) -> bool:
        return model in self._opus

    def bound(self, model: str, *, input_tokens: int, max_tokens: int) -> Decimal:
        """The most a request can cost. Raises KeyError for a model that is not in the catalogue."""
        return (input_tokens * self._dearest + max_tokens) * self._ratios[model]

    def credits(self, model: str, tokens: Tokens) -> Decimal:
        """What a request cost. Raises KeyError for a model that is not in the catalogue."""
        weighted = tokens.input + tokens.output + tokens.cache_read * self._read + tokens.cache_write * self._write
        return weighted * self._ratios[model]
