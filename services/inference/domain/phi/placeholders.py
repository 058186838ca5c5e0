"""Numbered placeholders: one per distinct value, stable for as long as the map lives."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Self

from services.inference.domain.phi.citations import Citations
from services.inference.domain.phi.entities import BY_LABEL, BY_NAME, LABELS
from services.inference.domain.phi.refusals import PhiTooComplex

_LABEL_ALTERNATIVES = "|".join(LABELS)
# Namespaces are tried in this order; the empty one gives `[PERSON_1]`, the next `[PERSON_A1]`.
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_NAMESPACES = ("", *_LETTERS, *(first + second for first in reversed(_LETTERS) for second in _LETTERS))
_COLLISION = re.compile(
    rf"(?i:\[(?:{_LABEL_ALTERNATIVES})(?:\\{{0,2}}_| )([A-Z]{{0,2}})\d)"
    rf"|\b(?:{_LABEL_ALTERNATIVES})\\{{0,2}}_([A-Z]{{0,2}})\d"
)
_EXACT = re.compile(rf"\[({_LABEL_ALTERNATIVES})_([A-Z]{{0,2}})([1-9][0-9]{{0,5}})\]")
# Longer numbers are nobody's placeholder: `[MRN_4827193]` is masked like any other text.
PLACEHOLDER_SHAPE = re.compile(rf"(?i)\[(?:{_LABEL_ALTERNATIVES})\\?_(?:\d{{1,4}}|[A-Z]{{1,2}}\d{{1,3}})\]")

_CASELESS = frozenset({"PERSON", "LOCATION", "STREET_ADDRESS", "FACILITY", "EMAIL_ADDRESS"})
TITLE = re.compile(r"^(?:(?:mr|mrs|ms|miss|mx|dr|prof|rev|sir|madam|nurse|doctor)\b\.?\s*)+", re.IGNORECASE)
_CLINICIAN_BEFORE = re.compile(
    r"\b(?:dr|doctor|prof|professor|nurse|rn|np|pa|attending|provider)\b[.:]?\s*$", re.IGNORECASE
)
_SURNAME_FIRST = re.compile(r"^([^\W\d_][\w'’\-]*(?: [^\W\d_][\w'’\-]*)?), ?([^\W\d_][\w'’\-]*(?: [^\W\d_]\.?)?)$")


class PlaceholderMap:
    """Which placeholder stands for which value.

    Values are exact but for two rules: names, places and e-mail addresses are compared without case, and a person's
    "John Smith", "Smith, John" and, while only one Smith is known, "Smith" share a number, so that the model knows they
    are one person; restoration then writes the form that came first.
    """

    def __init__(self, namespace: str = "") -> None:
        self.namespace = namespace
        self._values: dict[tuple[str, int], str] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._keys: dict[tuple[str, str], str] = {}  # what `_key` says, which takes four patterns
        self._last: dict[str, int] = {}
        self._surnames: dict[str, set[int]] = {}
        self._clinicians: set[int] = set()
        self.citations: Citations | None = None  # of this request; not stored with the map

    def __bool__(self) -> bool:
        """Whether an answer has to be gone through."""
        return bool(self._values) or bool(self.citations)

    def __len__(self) -> int:
        return len(self._values)

    def assign(self, entity_type: str, value: str, before: str = "", *, alone: bool = False) -> str:
        """The placeholder of `value`; `before` is the text in front of it, which tells a clinician by the title.

        `alone`: the value is a field by itself. A surname in a field must come back as the surname, so it is not linked.
        """
        label = BY_NAME[entity_type].label
        key = self._keys.get((entity_type, value))
        if key is None:
            key = self._keys[entity_type, value] = _key(entity_type, value)
        number = self._numbers.get((label, key))
        clinician = number is None and entity_type == "PERSON" and bool(_CLINICIAN_BEFORE.search(before[-24:]))
        if number is None and entity_type == "PERSON" and not alone:
            number = self._linked(key, clinician=clinician)
        if number is None:
            number = self._last.get(label, 0) + 1
            self._last[label] = number
            self._values[label, number] = value
            self._numbers[label, key] = number
            if entity_type == "PERSON":
                self._remember_person(key, number, clinician=clinician)
        return self.text(label, number)

    def text(self, label: str, number: int) -> str:
        return f"[{label}_{self.namespace}{number}]"

    def value(self, label: str, number: int) -> str | None:
        return self._values.get((label, number))

    def last_numbers(self) -> dict[str, int]:
        """Label → highest number given."""
        return dict(self._last)

    def values(self) -> Iterable[tuple[str, str]]:
        """(API name, value) of everything known so far, in the order of its first occurrence."""
        return [(BY_LABEL[label].name, value) for (label, _), value in self._values.items()]

    def avoid(self, texts: Iterable[str]) -> None:
        """Move to a namespace that occurs in none of `texts`, the caller's own words."""
        taken = {
            (match.group(1) or match.group(2) or "").upper()
            for text in texts
            if "[" in text or "_" in text
            for match in _COLLISION.finditer(text)
        }
        if self.namespace in taken:
            free = next((name for name in _NAMESPACES if name not in taken), None)
            if free is None:  # hundreds of look-alikes, each in a namespace of its own
                raise PhiTooComplex("body")
            self.namespace = free

    def by_placeholder(self) -> dict[str, str]:
        """`[PERSON_1]` → value: PHI."""
        return {self.text(label, number): value for (label, number), value in self._values.items()}

    @classmethod
    def from_placeholders(cls, values: Mapping[str, str]) -> Self:
        """The map of what `by_placeholder` gave. Raises ValueError, without a word of the caller's, for what it cannot have given."""
        shapes = [(_EXACT.fullmatch(placeholder), value) for placeholder, value in values.items()]
        named = [(shape[1], shape[2], int(shape[3]), value) for shape, value in shapes if shape and value]
        spaces = {space for _, space, _, _ in named} or {""}
        if len(named) < len(values) or len(spaces) > 1:
            raise ValueError("not a map of placeholders")
        built = cls(spaces.pop())
        for label, _, number, value in named:
            built._keep(label, number, value, clinician=False)
            built._numbers[label, _key(BY_LABEL[label].name, value)] = number
        return built

    def said_in(self, texts: Iterable[str]) -> Self:
        """The map without the values that occur in none of `texts`. A number that is free again may be given again."""
        said = "\n".join(texts).casefold()
        stored = json.loads(self.to_json())
        kept = {(label, number) for label, number, value in stored["values"] if value.casefold() in said}
        stored["values"] = [each for each in stored["values"] if (each[0], each[1]) in kept]
        stored["forms"] = [each for each in stored["forms"] if (each[0], each[2]) in kept]
        stored["clinicians"] = [number for number in stored["clinicians"] if ("PERSON", number) in kept]
        return type(self).from_json(json.dumps(stored))

    def copy(self) -> Self:
        return type(self).from_json(self.to_json())

    def to_json(self) -> str:
        """PHI: encrypt what this returns, never log it."""
        return json.dumps(
            {
                "namespace": self.namespace,
                "values": [[label, number, value] for (label, number), value in self._values.items()],
                "forms": [[label, key, number] for (label, key), number in self._numbers.items()],
                "clinicians": sorted(self._clinicians),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        stored = json.loads(text)
        restored = cls(stored["namespace"])
        for label, number, value in stored["values"]:
            restored._keep(label, number, value, clinician=number in stored["clinicians"])
        for label, key, number in stored["forms"]:
            restored._numbers[label, key] = number
        return restored

    def _keep(self, label: str, number: int, value: str, *, clinician: bool) -> None:
        self._values[label, number] = value
        self._last[label] = max(number, self._last.get(label, 0))
        if label == "PERSON":
            self._remember_person(_key("PERSON", value), number, clinician=clinician)

    def _linked(self, key: str, *, clinician: bool) -> int | None:
        """The one known person whose surname this is. "Dr. Smith" is never the patient John Smith."""
        if " " in key:
            return None
        known = self._surnames.get(key, set())
        if len(known) != 1:
            return None
        (number,) = known
        return number if clinician == (number in self._clinicians) else None

    def _remember_person(self, key: str, number: int, *, clinician: bool) -> None:
        if clinician:
            self._clinicians.add(number)
        self._surnames.setdefault(key.rpartition(" ")[2], set()).add(number)


def _key(entity_type: str, value: str) -> str:
    if entity_type not in _CASELESS:
        return value
    key = " ".join(value.split()).casefold()
    if entity_type == "PERSON":
        key = TITLE.sub("", key) or key
        if reordered := _SURNAME_FIRST.match(key):
            key = f"{reordered[2]} {reordered[1]}"
    return key
