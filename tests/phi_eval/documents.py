"""Evaluation documents as they lie in a folder's *.jsonl."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Gold:
    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Document:
    """Offsets are code points of `text`, end exclusive. `ignored` spans lie outside Safe Harbor in their source."""

    id: str
    text: str
    gold: tuple[Gold, ...]
    ignored: tuple[tuple[int, int], ...] = ()


def parse(line: dict[str, Any]) -> Document:
    """Raises ValueError for a span that is empty or lies outside its text."""
    document = Document(
        id=str(line.get("id", "")),
        text=line["text"],
        gold=tuple(Gold(span["start"], span["end"], span["type"]) for span in line["spans"]),
        ignored=tuple((start, end) for start, end, *_ in line.get("ignore", ())),
    )
    places = [(gold.start, gold.end) for gold in document.gold]
    if any(not 0 <= start < end <= len(document.text) for start, end in (*places, *document.ignored)):
        raise ValueError(f"{document.id}: a span is empty or outside the text")
    return document


def read(path: Path) -> list[Document]:
    # Not splitlines(): JSON strings may hold U+2028, which that would cut at.
    lines = path.read_text(encoding="utf-8").split("\n")
    return [parse(json.loads(line)) for line in lines if line.strip()]


def data_sets(folders: list[Path]) -> dict[str, list[Document]]:
    """One data set a file, named by it (and by its folder where two files share a name)."""
    found: dict[str, list[Document]] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.jsonl"))):
        name = path.stem if path.stem not in found else f"{path.parent.name}/{path.stem}"
        found[name] = read(path)
    return found
