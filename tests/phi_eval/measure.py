"""A system's run over data sets."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.phi_eval.documents import Document
from tests.phi_eval.figures import Figures, figures, halves
from tests.phi_eval.scoring import Verdict, judge
from tests.phi_eval.targets import GROUPS

if TYPE_CHECKING:
    from tests.phi_eval.systems import Detect

_WARM_UP = "Warm up: Dr. Ada Lovelace of London, born 3 May 1990, called 202-555-0101 on Monday."


@dataclass(frozen=True, slots=True)
class Run:
    """`verdicts` by data set, which is by author: no author wrote two."""

    verdicts: dict[str, list[Verdict]]

    @property
    def all(self) -> list[Verdict]:
        return [verdict for verdicts in self.verdicts.values() for verdict in verdicts]

    def plain(self) -> dict[str, Any]:
        kinds = sorted({kind for verdict in self.all for kind in verdict.gold})
        authors = [figures(verdicts) for verdicts in self.verdicts.values()]
        covered = [author.full.value for author in authors if author.full.value is not None]
        low, high = halves(self.all) if covered and len(self.all) > 1 else (None, None)
        return {
            "all": figures(self.all).plain(),
            "data": {name: figures(verdicts).plain() for name, verdicts in self.verdicts.items()},
            "types": {kind: figures(self.all, kind).plain() for kind in kinds},
            "types_by_data": {
                name: {kind: _full(figures(verdicts, kind)) for kind in kinds if any(v.gold[kind] for v in verdicts)}
                for name, verdicts in self.verdicts.items()
            },
            "groups": {
                group: figures([verdict for name in names for verdict in self.verdicts[name]]).plain()
                for group, (names, _) in GROUPS.items()
                if set(names) <= set(self.verdicts)
            },
            "across_authors": {
                "mean_full": sum(covered) / len(covered) if covered else None,
                "lowest_full": min(covered, default=None),
                "lowest_half": low,
                "highest_half": high,
            },
        }


def run(detect: "Detect", data: Mapping[str, Sequence[Document]]) -> Run:
    detect(_WARM_UP)
    verdicts: dict[str, list[Verdict]] = {}
    for name, documents in data.items():
        verdicts[name] = []
        for document in documents:
            started = time.process_time()
            found = detect(document.text)
            spent = (time.process_time() - started) * 1000
            verdict = judge(document, found)
            verdict.milliseconds = spent
            verdicts[name].append(verdict)
    return Run(verdicts)


def _full(measured: Figures) -> dict[str, Any]:
    return {"full": measured.full.value, "of": measured.full.of}
