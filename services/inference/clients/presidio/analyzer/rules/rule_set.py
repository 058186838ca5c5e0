"""The table's rules over one text."""

import re
from collections.abc import Iterator

from services.inference.clients.presidio.analyzer.rules.checks import CHECKS
from services.inference.clients.presidio.analyzer.rules.enumerations import next_values
from services.inference.clients.presidio.analyzer.rules.finder import Finder
from services.inference.clients.presidio.analyzer.rules.prefilter import Prefilter
from services.inference.clients.presidio.analyzer.rules.table import FEW, Rule, load
from services.inference.domain.phi.spans import Span

_WINDOW = 900  # characters for which the rules are chosen; few of them have a match in so little text
_REACH = 400  # how far a match may go beyond its window


class RuleSet:
    """All compiled rules. Making one costs seconds, using it about a millisecond for 1,000 characters."""

    def __init__(self) -> None:
        self.rules: tuple[Rule, ...] = load()
        self._prefilter = Prefilter(self.rules)
        self._finders = [Finder(rule.pattern) for rule in self.rules]

    def warm_up(self) -> None:
        """Make what is otherwise made at first use, of every rule: for a process that others are forked from."""
        for finder in self._finders:
            finder.make()

    def detect(self, text: str) -> list[Span]:
        """What each rule finds, overlaps included."""
        spans: list[Span] = []
        for start, end in _windows(text):
            for index in self._prefilter.candidates(text[start : end + _REACH]):
                self._apply(self.rules[index], self._finders[index], text, spans, start, end)
        return spans

    def detect_unfiltered(self, text: str) -> list[Span]:
        """The same by running every rule: what the tests compare with."""
        spans: list[Span] = []
        for rule in self.rules:
            self._apply(rule, rule.pattern, text, spans, 0, len(text))
        return spans

    @staticmethod
    def _apply(
        rule: Rule, matcher: Finder | re.Pattern[str], text: str, spans: list[Span], begin: int, until: int
    ) -> None:
        """The matches that begin in the window; they may reach beyond it."""
        check = CHECKS[rule.check] if rule.check else None
        valued = "v" in rule.pattern.groupindex
        cut = until + _REACH
        for found in matcher.finditer(text, begin, cut):
            if found.start() >= until and until < len(text):
                break
            # One that is longer than any window is an address of the web.
            cut_off = found.end() == cut < len(text)
            match = (cut_off and rule.pattern.match(text, found.start())) or found
            start, end = match.span("v") if valued else match.span()
            if start < 0:  # an alternative of the pattern without the group
                start, end = match.span()
            if rule.digits and not _is_number(text[start:end], rule.digits):
                continue
            stands = check is None or check(text, start, end)
            if isinstance(stands, tuple):
                start, end = stands
            if stands:
                spans.append(Span(start, end, rule.entity, rule.score, rule.id))
                if rule.digits:  # a label goes for all that is listed behind it
                    spans += (Span(*place, rule.entity, rule.score, rule.id) for place in next_values(text, start, end))


def _is_number(value: str, least: int) -> bool:
    """Enough digits, or a code like "K7QX2P" where few are enough."""
    digits = sum(map(str.isdigit, value))
    return digits >= least or (least <= FEW and digits >= 2 and len(value) >= 6 and value.isalnum() and value.isupper())


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Cuts at line ends, or blanks, where there are any."""
    start = 0
    while len(text) - start > _WINDOW + _REACH:
        window = text[start + _WINDOW // 2 : start + _WINDOW]
        cut = max(window.rfind("\n"), window.rfind(" ") if "\n" not in window else -1)
        end = start + _WINDOW // 2 + cut + 1 if cut >= 0 else start + _WINDOW
        yield start, end
        start = end
    yield start, len(text)
