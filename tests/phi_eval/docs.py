"""`python -m tests.phi_eval.docs`: the tables of docs/phi-guard/*.json into docs/phi-guard.md, and their charts beside them.

In the page, `<!-- NAME -->` and `<!-- end of NAME -->` enclose what NAME.json says; the words outside are written by hand.
"""

import json
import re
from pathlib import Path
from typing import Any

from tests.phi_eval import chart, report

PAGE = Path(__file__).parents[2] / "docs" / "phi-guard.md"
FIGURES = PAGE.with_suffix("")


def page(text: str) -> str:
    """The page with its figures as they stand in the files."""
    for path in sorted(FIGURES.glob("*.json")):
        name = path.stem
        written = json.loads(path.read_text(encoding="utf-8"))
        head = f"Measured {written['at']}, policy {written['policy']}, {written['model']}, load average {written['load_average']}."
        inside = (
            f"{head}\n\n![full-cover recall by type]({FIGURES.name}/{name}.svg)\n\n{report.markdown(_short(written))}"
        )
        enclosed = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, replaced = enclosed.subn(lambda match, inside=inside: f"{match[1]}{inside}\n{match[2]}", text)
        if replaced != 1:
            raise ValueError(f"the page has {replaced} places for {name}")
    return text


def _short(written: dict[str, Any]) -> list[report.Table]:
    return [table for table in report.tables(written) if "by type and data set" not in table[0]]


def charts() -> dict[Path, str]:
    paths = sorted(FIGURES.glob("*.json"))
    return {p.with_suffix(".svg"): chart.svg(json.loads(p.read_text(encoding="utf-8"))["systems"]) for p in paths}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for path, drawn in charts().items():
        path.write_text(drawn, encoding="utf-8")
