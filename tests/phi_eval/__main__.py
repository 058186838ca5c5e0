"""`python -m tests.phi_eval FOLDER`: the guard's figures on every *.jsonl in a folder.

One document a line: {"id", "text", "spans": [{"start", "end", "type"}][, "ignore": [[start, end, label]]]}, offsets in code
points. `--misses N` and `--extras N` print examples; they hold the data's own text, so use them on synthetic data only.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported; waiting threads would count as work

from services.inference.clients.presidio import engine as presidio
from tests.phi_eval.scoring import Score, table, type_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--misses", type=int, default=0)
    parser.add_argument("--extras", type=int, default=0)
    options = parser.parse_args()
    engine = presidio.build()
    presidio.detect(engine, "Warm up: Dr. Ada Lovelace, London.")
    scores: dict[str, Score] = {}
    total = Score()
    for path in sorted(options.folder.glob("*.jsonl")):
        if options.only not in path.stem:
            continue
        score = scores[path.stem] = Score()
        for line in path.read_text(encoding="utf-8").splitlines():
            document = json.loads(line)
            started = time.process_time()
            found = presidio.detect(engine, document["text"])
            spent = (time.process_time() - started) * 1000
            for counted in (score, total):
                counted.milliseconds += spent
                counted.add(document, found)
        for kind, value, around in score.misses[: options.misses]:
            print(f"MISS {path.stem} {kind} {value!r} in {around!r}")
        for kind, value, recognizer, around in score.extras[: options.extras]:
            print(f"EXTRA {path.stem} {kind} {recognizer} {value!r} in {around!r}")
    if not scores:
        sys.exit(f"no *.jsonl in {options.folder}")
    print(table(scores | {"all": total}))
    print()
    print(type_table(total))


if __name__ == "__main__":
    main()
