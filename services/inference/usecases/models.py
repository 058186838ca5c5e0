"""The models that can be called."""

from services.chassis.clock import Clock
from services.chassis.errors import ResourceNotFound, ValidationFailed
from services.inference.domain.catalogue import Catalogue, Model
from services.inference.domain.errors import ModelRetired


class Models:
    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    def get(self, model_id: str) -> Model:
        """Raises ResourceNotFound, ModelRetired."""
        model = self._catalogue.find(model_id)
        if model is None:
            raise ResourceNotFound("No such model.", param="model_id")
        if model.retired(self._clock.now()):
            raise ModelRetired(model.recommended_replacement)
        return model

    def list(self, *, before_id: str, after_id: str, limit: int) -> tuple[list[Model], bool]:
        """A page, newest first, and whether more lie beyond it in the direction asked for. Raises ValidationFailed for an unknown id."""
        models = self._catalogue.callable_models(self._clock.now())
        places = {model.id: place for place, model in enumerate(models)}
        for param, model_id in (("before_id", before_id), ("after_id", after_id)):
            if model_id and model_id not in places:
                raise ValidationFailed(f"{param}: no such model.", param=param)
        first = places[after_id] + 1 if after_id else 0
        last = places[before_id] if before_id else len(models)
        window = models[first:last]
        page = window[-limit:] if before_id and not after_id else window[:limit]
        return page, len(window) > len(page)
