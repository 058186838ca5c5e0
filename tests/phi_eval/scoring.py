"""How detections are compared with gold spans.

Overlap: a detection touches the gold span. Full cover: besides, every letter and digit of the span's words is masked, but
for generic words. Precision: merged detections that touch gold, among those that touch gold or touch no ignored span. A document
leaks when one of its spans is not covered in full; one without PHI is untouched when nothing is detected in it
but inside ignored spans. All of it asks first whether something is masked; whether it also got the right name is told apart.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.phi_eval.documents import Document, Gold

_TOKEN = re.compile(r"[^\W_]+")
# Words that identify nobody although annotators often put them inside a span.
GENERIC = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "dr,mr,mrs,ms,miss,md,do,rn,np,the,a,an,of,at,in,on,and,our,my,his,her,their,s,clinic,hospital,center,centre,medical,"
        "mrn,number,no,id,years,year,old,yo,y,o,age,aged,ext,apt,suite,unit,county,city,state,nan"
    ).split(",")
)


@dataclass(frozen=True, slots=True)
class Found:
    """A detection; `kind` is a type of the evaluation data, or the system's own name where there is none."""

    start: int
    end: int
    kind: str
    recognizer: str = ""


@dataclass(frozen=True, slots=True)
class Miss:
    kind: str
    value: str
    around: str


@dataclass(frozen=True, slots=True)
class Extra:
    kind: str
    recognizer: str
    value: str
    around: str


@dataclass(slots=True)
class Verdict:
    """What is to be counted of one document, by type."""

    characters: int
    clean: bool  # holds no PHI
    untouched: bool = False
    milliseconds: float = 0.0
    gold: Counter[str] = field(default_factory=Counter)
    overlapped: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)  # touched by a detection of the same type
    predicted: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)

    @property
    def leaks(self) -> bool:
        return bool(self.misses)


def merged(found: Iterable[Found]) -> list[Found]:
    """Overlapping detections as one, named by the longest of them; adjacent ones stay apart, empty ones fall out."""
    runs: list[list[Found]] = []
    end = 0
    for span in sorted((f for f in found if f.start < f.end), key=lambda f: (f.start, f.end)):
        if runs and span.start < end:
            runs[-1].append(span)
        else:
            runs.append([span])
        end = max(end, span.end) if len(runs[-1]) > 1 else span.end
    together: list[Found] = []
    for run in runs:
        longest = max(run, key=lambda f: f.end - f.start)
        together.append(Found(run[0].start, max(f.end for f in run), longest.kind, longest.recognizer))
    return together


def judge(document: Document, found: Sequence[Found]) -> Verdict:
    text = document.text
    spans = merged(found)
    verdict = Verdict(len(text), clean=not document.gold)
    for gold in document.gold:
        touching = [f for f in spans if f.start < gold.end and gold.start < f.end]
        verdict.gold[gold.kind] += 1
        verdict.overlapped[gold.kind] += bool(touching)
        verdict.named[gold.kind] += any(f.kind == gold.kind for f in touching)
        if touching and _covered(text, gold, touching):
            verdict.covered[gold.kind] += 1
        else:
            around = text[max(0, gold.start - 50) : gold.end + 30]
            verdict.misses.append(Miss(gold.kind, text[gold.start : gold.end], around))
    for f in spans:
        right = any(gold.start < f.end and f.start < gold.end for gold in document.gold)
        if not right and any(start < f.end and f.start < end for start, end in document.ignored):
            continue
        verdict.predicted[f.kind] += 1
        verdict.correct[f.kind] += right
        if not right:
            around = text[max(0, f.start - 40) : f.end + 30]
            verdict.extras.append(Extra(f.kind, f.recognizer, text[f.start : f.end], around))
    verdict.untouched = verdict.clean and not verdict.extras
    return verdict


def _covered(text: str, gold: Gold, touching: list[Found]) -> bool:
    masked = {place for f in touching for place in range(max(f.start, gold.start), min(f.end, gold.end))}
    return all(
        masked.issuperset(range(gold.start + token.start(), gold.start + token.end()))
        for token in _TOKEN.finditer(text[gold.start : gold.end])
        if token.group().lower() not in GENERIC
    )
