"""How detections are compared with gold spans. The definitions stand in docs and README beside the figures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.inference.domain.phi.entities import BY_NAME
from services.inference.domain.phi.spans import Span

_TOKEN = re.compile(r"[^\W_]+")
# Words that identify nobody although annotators often put them inside a span.
GENERIC = frozenset(
    (  # noqa: SIM905 - a list would fill a page
        "dr,mr,mrs,ms,miss,md,do,rn,np,the,a,an,of,at,in,on,and,our,my,his,her,their,s,clinic,hospital,center,centre,medical,"
        "mrn,number,no,id,years,year,old,yo,y,o,age,aged,ext,apt,suite,unit,county,city,state,nan"
    ).split(",")
)


@dataclass
class Score:
    gold: int = 0
    overlapped: int = 0
    covered: int = 0
    predicted: int = 0
    correct: int = 0
    documents: int = 0
    tight: int = 0
    clean: int = 0
    untouched: int = 0
    characters: int = 0
    milliseconds: float = 0.0
    by_type: dict[str, list[int]] = field(default_factory=dict)  # type → [gold, overlapped, covered, named right]
    misses: list[tuple[str, str, str]] = field(default_factory=list)  # (type, value, around)
    extras: list[tuple[str, str, str, str]] = field(default_factory=list)  # (type, value, recognizer, around)

    def add(self, document: dict[str, Any], found: Sequence[Span]) -> None:
        """Counts one document; `found` must be disjoint."""
        text, gold = document["text"], document["spans"]
        ignored = [(start, end) for start, end, *_ in document.get("ignore", ())]
        self.documents += 1
        self.characters += len(text)
        leaks = 0
        for span in gold:
            start, end, kind = span["start"], span["end"], span["type"]
            touching = [f for f in found if f.start < end and start < f.end]
            whole = all(
                any(f.start <= start + t.start() and start + t.end() <= f.end for f in found)
                for t in _TOKEN.finditer(text[start:end])
                if t.group().lower() not in GENERIC
            )
            row = self.by_type.setdefault(kind, [0, 0, 0, 0])
            row[0] += 1
            row[1] += bool(touching)
            row[2] += bool(touching) and whole
            row[3] += any(BY_NAME[f.entity_type].evaluation == kind for f in touching)
            if not (touching and whole):
                leaks += 1
                self.misses.append((kind, text[start:end], text[max(0, start - 50) : end + 30]))
        for f in found:
            if any(g["start"] < f.end and f.start < g["end"] for g in gold):
                self.correct += 1
            elif any(a < f.end and f.start < b for a, b in ignored):
                continue
            else:
                around = text[max(0, f.start - 40) : f.end + 30]
                self.extras.append((f.entity_type, text[f.start : f.end], f.recognizer, around))
            self.predicted += 1
        self.tight += not leaks
        if not gold:
            self.clean += 1
            self.untouched += not found
        self.gold += len(gold)
        self.overlapped += sum(any(f.start < g["end"] and g["start"] < f.end for f in found) for g in gold)
        self.covered += len(gold) - leaks


def table(scores: dict[str, Score]) -> str:
    """The figures, one data set a line."""
    head = f"{'data':28} {'docs':>5} {'spans':>6} {'overlap':>8} {'full':>7} {'prec':>7} {'no leak':>8} {'untouched':>11} {'ms/1000':>8}"
    return "\n".join([head, *(_line(name, score) for name, score in scores.items())])


def type_table(score: Score) -> str:
    rows = [
        f"{kind:12} {gold:6} {overlapped / gold:8.3f} {covered / gold:7.3f} {named / gold:7.3f}"
        for kind, (gold, overlapped, covered, named) in sorted(score.by_type.items())
    ]
    return "\n".join([f"{'type':12} {'spans':>6} {'overlap':>8} {'full':>7} {'named':>7}", *rows])


def _line(name: str, s: Score) -> str:
    untouched = f"{s.untouched}/{s.clean}" if s.clean else "-"
    return (
        f"{name:28} {s.documents:5} {s.gold:6} {s.overlapped / max(s.gold, 1):8.3f} {s.covered / max(s.gold, 1):7.3f} "
        f"{s.correct / max(s.predicted, 1):7.3f} {s.tight / s.documents:8.3f} {untouched:>11} "
        f"{s.milliseconds / max(s.characters, 1) * 1000:8.2f}"
    )
