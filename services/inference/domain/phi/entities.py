"""The one table of what the guard finds: API name, Safe Harbor letter, evaluation type, placeholder label.

API names are Presidio's wherever Presidio has one. Safe Harbor letters are those of 45 CFR 164.514(b)(2)(i)(A)-(R).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entity:
    name: str  # API name: `entity_types`, `redactions[].entity_type`
    letter: str  # Safe Harbor category
    evaluation: str  # type name in the evaluation data
    label: str  # `[LABEL_1]`
    priority: int = 50  # of two overlapping detections the higher one names the span


ENTITIES: tuple[Entity, ...] = (
    Entity("PERSON", "A", "NAME", "PERSON", 30),
    Entity("LOCATION", "B", "GEO", "LOCATION", 20),
    Entity("STREET_ADDRESS", "B", "GEO", "ADDRESS", 60),
    Entity("US_ZIP_CODE", "B", "GEO", "ZIP", 25),
    Entity("FACILITY", "B", "FACILITY", "FACILITY", 40),
    Entity("DATE_TIME", "C", "DATE", "DATE", 55),
    Entity("AGE", "C", "AGE90", "AGE", 45),
    Entity("PHONE_NUMBER", "D", "PHONE", "PHONE", 62),
    Entity("FAX_NUMBER", "E", "FAX", "FAX", 66),
    Entity("EMAIL_ADDRESS", "F", "EMAIL", "EMAIL", 85),
    Entity("US_SSN", "G", "SSN", "SSN", 80),
    Entity("MEDICAL_RECORD_NUMBER", "H", "MRN", "MRN", 75),
    Entity("US_HEALTH_INSURANCE_MEMBER_ID", "I", "HEALTH_PLAN", "HEALTH_PLAN", 74),
    Entity("US_MBI", "I", "HEALTH_PLAN", "MBI", 76),
    Entity("ACCOUNT_NUMBER", "J", "ACCOUNT", "ACCOUNT", 70),
    Entity("CREDIT_CARD", "J", "ACCOUNT", "CARD", 72),
    Entity("IBAN_CODE", "J", "ACCOUNT", "IBAN", 78),
    Entity("LICENSE_NUMBER", "K", "LICENSE", "LICENSE", 68),
    Entity("MEDICAL_LICENSE", "K", "LICENSE", "DEA", 77),
    Entity("US_NPI", "K", "LICENSE", "NPI", 73),
    Entity("US_DRIVER_LICENSE", "K", "LICENSE", "DRIVER_LICENSE", 71),
    Entity("VEHICLE_ID", "L", "VEHICLE", "VEHICLE", 69),
    Entity("DEVICE_ID", "M", "DEVICE", "DEVICE", 67),
    Entity("URL", "N", "URL", "URL", 82),
    Entity("IP_ADDRESS", "O", "IP", "IP", 84),
    Entity("BIOMETRIC_ID", "P", "BIOMETRIC", "BIOMETRIC", 65),
    Entity("PHOTO", "Q", "PHOTO", "PHOTO", 64),
    Entity("US_PASSPORT", "R", "OTHER_ID", "PASSPORT", 63),
    Entity("UNIQUE_ID", "R", "OTHER_ID", "ID", 61),
)


def by_category(by_type: Mapping[str, int]) -> dict[str, int]:
    """Counts by entity type → counts by Safe Harbor letter."""
    counts: dict[str, int] = {}
    for name, count in by_type.items():
        counts[BY_NAME[name].letter] = counts.get(BY_NAME[name].letter, 0) + count
    return dict(sorted(counts.items()))


BY_NAME: dict[str, Entity] = {entity.name: entity for entity in ENTITIES}
BY_LABEL: dict[str, Entity] = {entity.label: entity for entity in ENTITIES}
LABELS: tuple[str, ...] = tuple(sorted(BY_LABEL, key=len, reverse=True))
