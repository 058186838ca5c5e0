"""`python -m tests.phi_eval FOLDER...`: the guard's figures on every *.jsonl in the folders.

One document a line: {"id", "text", "spans": [{"start", "end", "type"}][, "ignore": [[start, end, label]]]}, offsets in code
points. Tables go to the terminal; figures.json, figures.md and figures.svg to --out; `docs.py` puts them into the docs.
`--misses N` and `--extras N` print examples; they hold the data's own text, so use them on synthetic data only.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported; waiting threads would count as work

from services.inference.clients.presidio.versions import MODEL_VERSION, Tier, policy
from tests.phi_eval import chart, latency, report
from tests.phi_eval.documents import data_sets
from tests.phi_eval.measure import Run, run
from tests.phi_eval.systems import guard, plain_presidio

_GUARD = "guard"
_PRESIDIO = "Presidio's defaults"


def main() -> None:
    options = _options()
    data = {name: found for name, found in data_sets(options.folders).items() if options.only in name}
    if not data:
        sys.exit(f"no *.jsonl in {', '.join(map(str, options.folders))}")
    detect = guard(options.tier)
    measured = run(detect, data)
    _examples(measured, options.misses, options.extras)
    systems: dict[str, Any] = {}
    for path in options.beside:
        systems |= json.loads(path.read_text(encoding="utf-8"))["systems"]
    others = {_PRESIDIO: plain_presidio()} if options.baseline else {}
    systems |= {name: run(other, data).plain() for name, other in others.items()}
    systems[options.name] = measured.plain()
    written: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "policy": policy(options.tier),
        "model": MODEL_VERSION,
        "load_average": round(os.getloadavg()[0], 1),
        "systems": systems,
    }
    if options.latency:
        texts = [document.text for documents in data.values() for document in documents]
        written["latency"] = latency.measure(detect, texts, others, options.tier)
    made = report.tables(written)
    print(report.terminal(made))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(_rounded(written), indent=1) + "\n", encoding="utf-8")
    (options.out / "figures.md").write_text(report.markdown(made) + "\n", encoding="utf-8")
    (options.out / "figures.svg").write_text(chart.svg(systems), encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--only", default="", help="data sets whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("build/phi-eval"))
    parser.add_argument("--tier", type=Tier, choices=list(Tier), default=Tier.STANDARD, help="as HASP_PHI_TIER")
    parser.add_argument("--name", default=_GUARD, help="what the guard is called in the tables")
    parser.add_argument("--baseline", action="store_true", help="measure Presidio with its defaults too; minutes")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="earlier figures.json to stand beside these")
    parser.add_argument("--latency", action="store_true", help="p50, p95 and p99 by length, engine and pool; a minute")
    parser.add_argument("--misses", type=int, default=0)
    parser.add_argument("--extras", type=int, default=0)
    return parser.parse_args()


def _examples(measured: Run, misses: int, extras: int) -> None:
    for name, verdicts in measured.verdicts.items():
        for miss in [miss for verdict in verdicts for miss in verdict.misses][:misses]:
            print(f"MISS {name} {miss.kind} {miss.value!r} in {miss.around!r}")
        for extra in [extra for verdict in verdicts for extra in verdict.extras][:extras]:
            print(f"EXTRA {name} {extra.kind} {extra.recognizer} {extra.value!r} in {extra.around!r}")


if __name__ == "__main__":
    main()
