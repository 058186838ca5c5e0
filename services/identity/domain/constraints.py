"""The language of constraints: what a grant says about the arguments of a tool, or about the rows an agent may read.

A constraint is JSON, and so is the value it is held against:

    scalar    the value is of the same type and equal. Numbers are compared as numbers (1 is 1.0), true is no number,
              text is compared code point by code point. There are no wildcards: "*" is a star.
    list      alternatives: the value satisfies one of them, or is itself a list, not empty, whose every element satisfies one of them.
    object    the value is an object that has every key of the constraint, and each satisfies what the constraint says of it.
              Its other keys are free. At the top an empty object therefore says nothing.

`{{delegating_user.id}}`, `.email` and `.role` may stand anywhere in the text of a constraint, but not in its keys. They are replaced in one
pass: what was put in is never looked at again, so that a person's e-mail address that looks like a variable stays an e-mail address.

Whether one constraint contains another is in containment.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.chassis.errors import ValidationFailed
from services.identity.domain.fields import text
from services.identity.domain.texts import shown

DEEPEST = 6
"""Objects and lists inside one another, the outermost counted."""
MOST_NODES = 200
"""Values of keys and elements of lists, however deep, below one outermost object."""
LARGEST_WHOLE = 2**53 - 1
"""JSON numbers are doubles here. Beyond this, numbers that were typed differently become the same double."""
MOST_COMPARISONS = 5_000
LONGEST_PLACE = 200

USER_ID = "id"
# Not after a third brace: `{{{delegating_user.id}}}` could be read in two ways, so it is read in none.
_VARIABLE = re.compile(r"(?<!\{)\{\{delegating_user\.(id|email|role)\}\}")


def parse_constraint(value: Mapping[str, Any], param: str) -> dict[str, Any]:
    """The object itself, copied, once it is known to be a constraint within the limits.

    Raises ValidationFailed that names the place below `param`: an empty list (which nothing would satisfy), text or a key that is empty,
    longer than 255 characters or has control characters, `{{…}}` that is no variable or stands in a key, a number that is not finite or
    beyond ±(2**53 - 1), more than 6 levels, more than 200 values.
    """
    return _Reader(param).read_object(value, param, depth=1)


def satisfies(value: Any, constraint: Any) -> bool:
    """Whether a JSON value satisfies a constraint whose variables have been replaced.

    No, if it takes more than 5,000 comparisons to tell: lists of objects on both sides could keep a replica busy for seconds.
    """
    try:
        return _satisfies(value, constraint, Effort(MOST_COMPARISONS))
    except TooMuchEffort:
        return False


class TooMuchEffort(Exception):
    """It would take too long to tell, which counts as no."""


class Effort:
    """Counts comparisons. Raises TooMuchEffort beyond `at_most`."""

    def __init__(self, at_most: int) -> None:
        self._left = at_most

    def spend(self, comparisons: int) -> None:
        self._left -= comparisons
        if self._left < 0:
            raise TooMuchEffort


def scalar(value: Any) -> tuple[str, Any] | None:
    """A text, number, bool or null with its JSON type: equal for equal scalars alone, and hashable. None for a list or an object."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int | float):
        return "number", value
    return ("text", value) if isinstance(value, str) else None


def substituted(constraint: Any, variables: Mapping[str, str]) -> Any:
    """A copy with `{{delegating_user.<name>}}` replaced by `variables[name]`, for the names id, email and role."""
    if isinstance(constraint, dict):
        return {key: substituted(value, variables) for key, value in constraint.items()}
    if isinstance(constraint, list):
        return [substituted(value, variables) for value in constraint]
    if isinstance(constraint, str):
        return _VARIABLE.sub(lambda found: variables[found[1]], constraint)
    return constraint


def pieces(template: str, user_id: str) -> tuple[str, ...]:
    """A text of a constraint, taken apart: literal, name of a variable, literal, … and a literal at the end.

    The id is put in as part of the literals, since it is known and stays. So two templates that come apart into the same pieces say the same
    whatever the e-mail address and the role, and no text that was put in is taken for a variable.
    """
    if "{{" not in template:
        return (template,)
    first, *others = _VARIABLE.split(template)
    read = [first]
    for name, literal in zip(others[::2], others[1::2], strict=True):
        if name == USER_ID:
            read[-1] += user_id + literal
        else:
            read += [name, literal]
    return tuple(read)


def _satisfies(value: Any, constraint: Any, effort: Effort) -> bool:
    effort.spend(1)
    if isinstance(constraint, dict):
        return isinstance(value, dict) and all(
            key in value and _satisfies(value[key], wanted, effort) for key, wanted in constraint.items()
        )
    if isinstance(constraint, list):
        return _satisfies_alternatives(value, constraint, effort)
    wanted = scalar(constraint)
    return wanted is not None and scalar(value) == wanted


def _satisfies_alternatives(value: Any, alternatives: list[Any], effort: Effort) -> bool:
    effort.spend(len(alternatives))
    scalars = {scalar(alternative) for alternative in alternatives} - {None}
    others = [alternative for alternative in alternatives if scalar(alternative) is None]

    def satisfies_one(candidate: Any) -> bool:
        effort.spend(1)
        return scalar(candidate) in scalars or any(_satisfies(candidate, other, effort) for other in others)

    return satisfies_one(value) or (isinstance(value, list) and bool(value) and all(map(satisfies_one, value)))


class _Reader:
    """Reads one constraint and counts its values."""

    def __init__(self, param: str) -> None:
        self._param = param
        self._nodes = 0

    def read_object(self, value: Mapping[str, Any], param: str, *, depth: int) -> dict[str, Any]:
        # In order of the keys, which a Struct does not keep: the same request is always refused for the same place.
        return {key: self._read(value[key], _place_of(key, param), depth=depth + 1) for key in sorted(value)}

    def _read(self, value: Any, param: str, *, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise ValidationFailed(f"A constraint has at most {MOST_NODES} values.", param=self._param)
        if isinstance(value, dict | list) and depth > DEEPEST:
            raise ValidationFailed(f"A constraint has at most {DEEPEST} levels.", param=param)
        if isinstance(value, dict):
            return self.read_object(value, param, depth=depth)
        if isinstance(value, list):
            if not value:
                raise ValidationFailed("A list of alternatives must not be empty.", param=param)
            return [self._read(element, f"{param}[{place}]", depth=depth + 1) for place, element in enumerate(value)]
        return _scalar(value, param)


def _scalar(value: Any, param: str) -> Any:
    match scalar(value):
        case ("text", template):
            _check_variables(text(template, param), param)
        case ("number", number):
            # The comparison is false for NaN too.
            if not -LARGEST_WHOLE <= number <= LARGEST_WHOLE:
                raise ValidationFailed(f"A number must be between -{LARGEST_WHOLE} and {LARGEST_WHOLE}.", param=param)
        case None:
            raise ValidationFailed("This is no JSON value.", param=param)
    return value


def _place_of(key: str, param: str) -> str:
    """Where the value of the key stands, cut off where it would not fit into the trailers of a call. Raises ValidationFailed for the key itself."""
    place = f"{param}.{shown(key)}"[:LONGEST_PLACE]
    text(key, place)
    if "{{" in key:
        raise ValidationFailed("A key is not a template: no variables in it.", param=place)
    return place


def _check_variables(template: str, param: str) -> None:
    if any("{{" in literal for literal in _VARIABLE.split(template)[::2]):
        raise ValidationFailed(
            "The variables are {{delegating_user.id}}, {{delegating_user.email}} and {{delegating_user.role}}.",
            param=param,
        )
