"""What the service sends to a worker to have values anonymized. Knows Presidio's names and does not import it."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from services.inference.domain.phi.operators import (
    Hash,
    Keep,
    Mask,
    Operator,
    Operators,
    Placeholder,
    Redact,
    Replace,
    Value,
)

_LONGEST = 1 << 30  # of a value: Presidio masks as many characters as there are


def jobs(values: Sequence[Value], operators: Operators, salt: bytes, size: int) -> Iterator[bytes]:
    """Payloads with values of about `size` characters each. Presidio copies a whole text at each replacement: short ones it is."""
    job: list[Value] = []
    length = 0
    for entity_type, value in values:
        if job and length + len(value) > size:
            yield _packed(job, operators, salt)
            job, length = [], 0
        job.append((entity_type, _encodable(value)))
        length += len(value)
    if job:
        yield _packed(job, operators, salt)


def _packed(values: list[Value], operators: Operators, salt: bytes) -> bytes:
    described = {name: _described(operators.of(name), salt) for name in {entity_type for entity_type, _ in values}}
    return orjson.dumps({"values": values, "operators": described})


def _described(operator: Operator, salt: bytes) -> tuple[str, dict[str, Any]]:
    match operator:
        case Replace(new_value):
            return operator.name, {"new_value": new_value}
        case Mask(masking_char, chars_to_mask, from_end):
            count = chars_to_mask or _LONGEST
            return operator.name, {"masking_char": masking_char, "chars_to_mask": count, "from_end": from_end}
        case Hash():
            return operator.name, {"hash_type": "sha256", "salt": salt.hex()}
        case Redact():
            return operator.name, {}
        case Placeholder() | Keep():
            raise ValueError(f"{operator.name} is not Presidio's to do")


def _encodable(value: str) -> str:
    """Half a surrogate pair, which an escape in JSON can carry, as "?": as the scanner reads it."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
