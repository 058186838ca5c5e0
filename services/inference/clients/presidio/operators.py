"""Presidio's AnonymizerEngine over values by themselves. Imported by the worker processes alone.

Every operator answers from the entity type and the value only, so that a request sends each distinct value once, and the
text around it, which may be long, never.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from presidio_anonymizer import AnonymizerEngine, OperatorConfig, RecognizerResult

logging.getLogger("presidio-anonymizer").setLevel(logging.WARNING)

_BETWEEN = "\n"  # keeps neighbours apart: Presidio would join two that touch


def answer(engine: AnonymizerEngine, payload: bytes) -> bytes:
    """One job as `packed` wrote it."""
    job = orjson.loads(payload)
    return orjson.dumps(anonymize(engine, job["values"], job["operators"]))


def anonymize(
    engine: AnonymizerEngine, values: Sequence[Sequence[str]], operators: Mapping[str, tuple[str, dict[str, Any]]]
) -> list[str]:
    """What stands in the place of each (entity type, value). `operators`: entity type to Presidio's name and parameters."""
    results: list[RecognizerResult] = []
    position = 0
    for entity_type, value in values:
        results.append(RecognizerResult(entity_type, position, position + len(value), 1.0))
        position += len(value) + len(_BETWEEN)
    done = engine.anonymize(
        _BETWEEN.join(value for _, value in values),
        results,
        {name: OperatorConfig(*described) for name, described in operators.items()},
        merge_entities_with_spaces=False,
    )
    if len(done.items) != len(values):
        raise RuntimeError("not one answer a value")
    return [item.text for item in sorted(done.items, key=lambda item: item.start)]
