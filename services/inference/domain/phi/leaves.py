"""Texts of a request, the blocks in which they are scanned, and the way back from a block to its texts."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field

from services.inference.domain.phi.json_text import (
    Back,
    Kind,
    Token,
    back_from,
    is_json_container,
    tokens,
    unmoved,
    words,
)
from services.inference.domain.phi.refusals import PhiTooComplex
from services.inference.domain.phi.shapes import goes_on, is_random, parted, says_something
from services.inference.domain.phi.spans import Span

_WINDOW = 120  # characters on each side of a seam between two texts that are scanned together
_DEEPEST = 8  # JSON in a string in JSON in a string …
# Made by the provider, unreadable to anyone else, and refused by it when changed.
_SEALED_KEYS = frozenset({"signature", "data", "encrypted_content", "encrypted_index", "encrypted_stdout"})
_SEALED = re.compile(r"[A-Za-z0-9+/_\-]{24,}={0,2}\Z")


@dataclass(slots=True)
class Leaf:
    """One text. `write` puts its masked form into the copy; `None` where a detection refuses the request."""

    path: str
    text: str
    write: Callable[[str], None] | None
    whole: bool = False  # masked as a whole: a JSON number or key cannot be masked in part
    signed: bool = False  # written by the model, placeholders and all: they are no collision
    ignored: frozenset[str] = frozenset()  # entity types that do not count here
    back: Back | None = unmoved  # to the text at `path`; None where the caller sent a JSON value and no text
    spans: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Segment:
    """`block[start:end]` is `leaf.text[offset:offset + end - start]`."""

    start: int
    end: int
    leaf: Leaf
    offset: int = 0


@dataclass(slots=True)
class Block:
    """One text for the scanner, made of pieces of leaves. Its segments are in order and disjoint, its seams in order."""

    text: str
    segments: list[Segment]
    seams: tuple[int, ...] = ()  # when given, only detections that reach over one of these count

    def give_back(self, spans: Iterable[Span]) -> None:
        """Adds to each leaf the part of each span that lies in it."""
        ends = [segment.end for segment in self.segments]
        for span in spans:
            seam = bisect_right(self.seams, span.start)
            if self.seams and not (seam < len(self.seams) and self.seams[seam] < span.end):
                continue
            for index in range(bisect_right(ends, span.start), len(ends)):
                segment = self.segments[index]
                start, end = max(span.start, segment.start), min(span.end, segment.end)
                if start >= span.end:
                    break
                if start < end and span.entity_type not in segment.leaf.ignored:
                    shift = segment.offset - segment.start
                    segment.leaf.spans.append(
                        Span(start + shift, end + shift, span.entity_type, span.score, span.recognizer)
                    )


class _JsonEdits:
    """Source whose tokens are replaced; written once, after everything inside it was."""

    def __init__(self, source: str, write: Callable[[str], None]) -> None:
        self.source = source
        self._write = write
        self._edits: list[tuple[int, int, str]] = []

    def at(self, start: int, end: int) -> Callable[[str], None]:
        return lambda text: self._edits.append((start, end, _json_string(text)))

    def finish(self) -> None:
        if not self._edits:
            return
        pieces: list[str] = []
        position = 0
        for start, end, text in sorted(self._edits):
            pieces += self.source[position:start], text
            position = end
        pieces.append(self.source[position:])
        self._write("".join(pieces))


class Leaves:
    """Everything of one request that carries text, in order."""

    def __init__(self) -> None:
        self.all: list[Leaf] = []
        self.blocks: list[Block] = []
        self.running: list[Leaf] = []  # whole texts that can be masked, in order
        self.aside: list[str] = []  # what the caller wrote where nothing is masked
        self._edits: list[_JsonEdits] = []

    def text(self, path: str, text: str, write: Callable[[str], None] | None) -> Leaf | None:
        """A running text, or JSON in a string. Returns the leaf when it is running text."""
        if not text.strip():
            return None
        if is_json_container(text):
            self.json(path, text, write, back=unmoved)
            return None
        leaf = Leaf(path, text, write)
        self.all.append(leaf)
        if write:
            self.running.append(leaf)
        self.blocks.append(Block(text, [Segment(0, len(text), leaf)]))
        return leaf

    def json(
        self,
        path: str,
        source: str,
        write: Callable[[str], None] | None,
        *,
        sealed: bool = False,
        depth: int = 0,
        back: Back | None = None,
    ) -> None:
        """JSON source, scanned as lines of `key words: value`, so that a key labels its value.

        `sealed`: this is the protocol's own structure, where a few keys hold what only the provider can read.
        `back`: of the source, where it is the caller's own text.
        """
        if depth > _DEEPEST:
            raise PhiTooComplex(path)
        edits = _JsonEdits(source, write) if write else None
        if edits:
            self._edits.append(edits)
        lines = _Lines()
        for token in tokens(source):
            if sealed and _is_sealed(token):
                continue
            put = edits.at(token.start, token.end) if edits else None
            inner = back_from(source, token, back) if back else None
            if token.kind is Kind.STRING and is_json_container(token.text):
                self.json(path, token.text, put, depth=depth + 1, back=inner)
                continue
            leaf = Leaf(path, token.text, put, whole=token.kind is not Kind.STRING, back=inner)
            self.all.append(leaf)
            if token.kind is Kind.KEY:
                lines.key(leaf, token.labels)
            else:
                lines.value(leaf, token.labels)
        if lines.segments:
            self.blocks.append(Block("".join(lines.pieces), lines.segments))

    def seams(self, neighbours: Sequence[Leaf]) -> None:
        """Scans over the seams of adjacent texts: a name or a number may be split between them."""
        window = _Window()
        for position, leaf in enumerate(neighbours):
            if len(leaf.text) <= 2 * _WINDOW:
                window.add(leaf, 0, len(leaf.text))
                continue
            window.add(leaf, 0, _WINDOW)
            self._close(window)
            window = _Window()
            if position + 1 < len(neighbours):
                window.add(leaf, len(leaf.text) - _WINDOW, len(leaf.text))
        self._close(window)

    def across(self, joined: Set[int]) -> None:
        """Scans where one text goes on in the next one although something lies between them: another message, another document.

        `joined`: positions in `running` that the provider reads as one text with the position before.
        """
        chain: list[Leaf] = []
        for position, leaf in enumerate(self.running):
            if chain and (
                goes_on(chain[-1].text, leaf.text) or (position in joined and parted(chain[-1].text, leaf.text))
            ):
                chain.append(leaf)
                continue
            self.seams(chain)
            chain = [leaf]
        self.seams(chain)

    def finish(self) -> None:
        """Puts the masked JSON sources back, inner before outer."""
        for edits in reversed(self._edits):
            edits.finish()

    def _close(self, window: "_Window") -> None:
        if len(window.segments) > 1:
            seams = tuple(segment.start for segment in window.segments[1:])
            self.blocks.append(Block("".join(window.pieces), window.segments, seams))


def _json_string(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can carry
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)


def _is_sealed(token: Token) -> bool:
    return (
        token.kind is Kind.STRING
        and bool(token.labels)
        and token.labels[-1] in _SEALED_KEYS
        and bool(_SEALED.match(token.text))
        and is_random(token.text)
        and not says_something(token.text)
    )


class _Window:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.segments: list[Segment] = []
        self._length = 0

    def add(self, leaf: Leaf, start: int, end: int) -> None:
        self.pieces.append(leaf.text[start:end])
        self.segments.append(Segment(self._length, self._length + end - start, leaf, start))
        self._length += end - start


class _Lines:
    """The scanner's view of a JSON object."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.segments: list[Segment] = []
        self._length = 0
        self._fresh_key: tuple[str, ...] | None = None
        self._said: dict[str, str] = {}

    def key(self, leaf: Leaf, labels: tuple[str, ...]) -> None:
        self._end_line()
        if len(labels) > 1:
            self._add(self._words(labels[-2]) + " ")
        label = self._words(leaf.text)
        self.segments.append(Segment(self._length, self._length + len(label), leaf))
        self._add(label + ": ")
        self._fresh_key = labels

    def value(self, leaf: Leaf, labels: tuple[str, ...]) -> None:
        if self._fresh_key != labels or not labels:
            self._end_line()
            if labels:
                self._add(" ".join(map(self._words, labels[-2:])) + ": ")
        self._fresh_key = None
        self.segments.append(Segment(self._length, self._length + len(leaf.text), leaf))
        self._add(leaf.text)

    def _words(self, key: str) -> str:
        """The keys of one object are those of the next."""
        said = self._said.get(key)
        if said is None:
            said = self._said[key] = words(key)
        return said

    def _end_line(self) -> None:
        if self._length:
            self._add("\n")

    def _add(self, text: str) -> None:
        self.pieces.append(text)
        self._length += len(text)
