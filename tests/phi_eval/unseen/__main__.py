"""`python -m tests.phi_eval.unseen`: writes each NAME.jsonl from NAME.txt, the form in which a person reads and edits it.

A document begins with `=== id`. `{{TYPE:value}}` is a gold span, `{{~LABEL:value}}` an ignored one; the braces are taken out.
"""

import json
import re
from pathlib import Path
from typing import Any

from services.inference.domain.phi.entities import ENTITIES

HERE = Path(__file__).parent
_SPAN = re.compile(r"\{\{(~?)([A-Z0-9_]+):(.+?)\}\}", re.DOTALL)
_TYPES = {entity.evaluation for entity in ENTITIES}


def documents(source: str) -> list[dict[str, Any]]:
    """Raises ValueError for a type that the evaluation does not know, an id used twice and markup left over."""
    parts = re.split(r"^=== (\S+)\n", source, flags=re.MULTILINE)[1:]
    ids = parts[::2]
    if len(set(ids)) != len(ids):
        raise ValueError("an id is used twice")
    return [document(name, body.removesuffix("\n")) for name, body in zip(ids, parts[1::2], strict=True)]


def document(name: str, marked: str) -> dict[str, Any]:
    text, spans, ignored, last = "", [], [], 0
    for match in _SPAN.finditer(marked):
        outside, kind, value = match.groups()
        text += marked[last : match.start()]
        if outside:
            ignored.append([len(text), len(text) + len(value), kind])
        elif kind in _TYPES:
            spans.append({"start": len(text), "end": len(text) + len(value), "type": kind})
        else:
            raise ValueError(f"{name}: {kind} is not a type")
        text += value
        last = match.end()
    text += marked[last:]
    if "{{" in text:
        raise ValueError(f"{name}: markup left over")
    return {"id": name, "text": text, "spans": spans, "ignore": ignored}


def rendered(source: Path) -> str:
    lines = documents(source.read_text(encoding="utf-8"))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.txt")):
        path.with_suffix(".jsonl").write_text(rendered(path), encoding="utf-8")
