"""Presidio's AnalyzerEngine with our recognizers in an otherwise empty registry.

Presidio's own recognizers and its context words stay out: labels in the rules do their work. The engine keeps its
interface, so that a site can add a recognizer of its own to the registry.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

from services.inference.clients.presidio.analyzer import person_ner, words
from services.inference.clients.presidio.analyzer.addresses import grown
from services.inference.clients.presidio.analyzer.echoes import echoes
from services.inference.clients.presidio.analyzer.encoded import encoded_runs
from services.inference.clients.presidio.analyzer.fields import field_values
from services.inference.clients.presidio.analyzer.hl7 import segment_fields
from services.inference.clients.presidio.analyzer.names import compound_names, known_towns, lower_case_names
from services.inference.clients.presidio.analyzer.normalise import View, second_views
from services.inference.clients.presidio.analyzer.rosters import listed_names
from services.inference.clients.presidio.analyzer.rules.rule_set import RuleSet
from services.inference.clients.presidio.analyzer.spacy_ner import SpacyNer
from services.inference.clients.presidio.analyzer.structured import named_values
from services.inference.clients.presidio.analyzer.truecase import Recased, recased
from services.inference.clients.presidio.versions import Tier
from services.inference.domain.phi.entities import ENTITIES
from services.inference.domain.phi.spans import Span, merge

# In the view a URL ends where its query holds an encoded blank; in the text it goes on.
_REST_OF_URL = re.compile(r"""[%+][^\s<>"'`\])}]{1,2000}(?<![.,;:!?])""")
_POSSESSIVE = frozenset({"PERSON", "LOCATION"})
_BY_CAPITALS = frozenset({"PERSON", "LOCATION", "FACILITY"})
_BY_POSITION = frozenset(
    {"hl7_field", "named_value", "field", "column", "roster", "roster_caps_aged"}
)  # whatever its letters are
_RECOGNIZER = RecognizerResult.RECOGNIZER_NAME_KEY

logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)


class _LazyNlp(NlpEngine):
    """Named entities on demand: the recognizer asks where its gate opens, rather than every text being read."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self._ner: SpacyNer | None = None

    def load(self) -> None:
        if self.tier is not Tier.FAST:
            self._ner = SpacyNer()

    def is_loaded(self) -> bool:
        return self._ner is not None or self.tier is Tier.FAST

    @property
    def ner(self) -> SpacyNer:
        if self._ner is None:
            raise RuntimeError("the model is not loaded")
        return self._ner

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        return _artifacts(language)

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        return ((text, _artifacts(language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


def _artifacts(language: str) -> NlpArtifacts:
    return NlpArtifacts([], [], [], [], None, language)  # type: ignore[arg-type]


class _NoContext(ContextAwareEnhancer):
    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        return raw_results


class PhiRecognizer(EntityRecognizer):
    """The rules of `recognizers/` and the gated named entities, over a normalised view of the text."""

    def __init__(self, nlp: _LazyNlp) -> None:
        self._rules = RuleSet()
        self._nlp = nlp
        super().__init__([entity.name for entity in ENTITIES], name="hasp", supported_language="en")

    def load(self) -> None:
        pass

    def warm_up(self) -> None:
        """Make what is otherwise made by the texts that first need it."""
        self._rules.warm_up()

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        view = View(text)
        spans = self._spans(view.text)
        for start, second in second_views(view.text):
            for span in self._spans(second.text):
                left, right = second.back(span.start, span.end)
                spans.append(replace(span, start=start + left, end=start + right))
        spans += self._encoded(view.text)
        found: dict[tuple[int, int, str, float], Span] = {}  # of two that differ by their rule alone, the first
        for span in spans:
            placed = _in_text(span, view, text)
            found.setdefault((placed.start, placed.end, placed.entity_type, placed.score), placed)
        return [self._result(span) for span in merge(found.values())]

    def _result(self, span: Span) -> RecognizerResult:
        result = RecognizerResult(span.entity_type, span.start, span.end, span.score)
        result.recognition_metadata = {
            _RECOGNIZER: span.recognizer,
            RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
        }
        return result

    def _encoded(self, text: str, depth: int = 2) -> Iterator[Span]:
        """Runs that say something that is PHI, in one or two layers."""
        for start, end, decoded in encoded_runs(text):
            inner = View(decoded).text
            if found := self._spans(inner) or (list(self._encoded(inner, depth - 1)) if depth > 1 else []):
                yield replace(found[0], start=start, end=end, recognizer=f"encoded_{found[0].recognizer}")

    def _spans(self, text: str) -> list[Span]:
        spans = self._read(text)
        runs = recased(text)
        if shouted := [run for run in runs if run.shouted]:
            spans = [span for span in spans if not _is_hearsay(span, text, shouted)]
        for run in runs:
            spans += [
                replace(span, start=span.start + run.start, end=span.end + run.start) for span in self._read(run.text)
            ]
        return spans

    def _read(self, text: str) -> list[Span]:
        found = [*self._rules.detect(text), *lower_case_names(text), *known_towns(text), *field_values(text)]
        found += [*named_values(text), *segment_fields(text), *compound_names(text), *listed_names(text)]
        found += grown(text, found)
        if self._nlp.tier is Tier.FAST:
            return found
        named = person_ner.detect(text, self._nlp.ner, found, gated=self._nlp.tier is Tier.STANDARD)
        return [*found, *named, *grown(text, named, towns=False)]


def _in_text(span: Span, view: View, text: str) -> Span:
    """By the offsets of what the caller wrote."""
    start, end = view.back(span.start, span.end)
    if span.entity_type == "URL" and (rest := _REST_OF_URL.match(text, end)):
        end = rest.end()
    return span if (start, end) == (span.start, span.end) else replace(span, start=start, end=end)


def _is_hearsay(span: Span, text: str, shouted: list[Recased]) -> bool:
    """Told by capitals alone, where everything is in capitals."""
    return (
        span.entity_type in _BY_CAPITALS
        and not (span.recognizer in _BY_POSITION and span.end - span.start > 2)
        and any(run.start <= span.start and span.end <= run.end for run in shouted)
        and not words.surely_named(text[span.start : span.end])
    )


def build(tier: Tier = Tier.STANDARD) -> AnalyzerEngine:
    """Loads the model from its wheel, where the tier has need of it; raises when it is missing rather than fetching anything.

    What scans would make at first use is made here: workers are forked from the process that called it.
    """
    nlp = _LazyNlp(tier)
    nlp.load()
    recognizer = PhiRecognizer(nlp)
    recognizer.warm_up()
    registry = RecognizerRegistry([recognizer], supported_languages=["en"])
    return AnalyzerEngine(registry, nlp, context_aware_enhancer=_NoContext(), supported_languages=["en"])


def detect(engine: AnalyzerEngine, text: str) -> list[Span]:
    """Disjoint detections of one text, in order."""
    if not text.strip():
        return []
    found = merge(
        Span(
            result.start,
            result.end,
            result.entity_type,
            result.score,
            (result.recognition_metadata or {}).get(_RECOGNIZER, ""),
        )
        for result in engine.analyze(text, "en")
    )
    if again := echoes(text, found):
        found = merge([*found, *again])
    return [_without_possessive(span, text) if span.entity_type in _POSSESSIVE else span for span in found]


def _without_possessive(span: Span, text: str) -> Span:
    """ "John Smith's" is the same person as "John Smith"."""
    value = text[span.start : span.end]
    return replace(span, end=span.end - 2) if value.endswith(("'s", "’s")) and len(value) > 3 else span
