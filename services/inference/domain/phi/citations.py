"""Citations of the caller's documents, which the provider counts in what it was sent: masking moves characters, and a removed document
moves the numbers of those behind it. Here they go back to what the caller sent.

A PDF was sent as its text: citations of it count that text's characters, not pages.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from services.inference.domain.phi.json_text import is_json_container

Edit = tuple[int, int, int]
"""`[start, end)` of the caller's text was replaced by so many characters."""


@dataclass(frozen=True, slots=True)
class _Document:
    number: int  # among the caller's
    text: str | None  # None where it was sent as blocks
    edits: tuple[Edit, ...]

    def back(self, citation: dict[str, Any]) -> dict[str, Any] | None:
        """`citation` in the caller's numbers, its `cited_text` restored already; None when its place cannot be told."""
        moved = citation | {"document_index": self.number}
        start, end = citation.get("start_char_index"), citation.get("end_char_index")
        if not self.edits or self.text is None or not isinstance(start, int) or not isinstance(end, int):
            return moved
        if is_json_container(self.text):  # values were written anew, number by number and escape by escape
            return self._searched(moved)
        return moved | {
            "start_char_index": self._place(start, right=False),
            "end_char_index": self._place(end, right=True),
        }

    def _place(self, masked: int, *, right: bool) -> int:
        """A place inside a placeholder is the value's nearer end outwards."""
        shift = 0
        for start, end, length in self.edits:
            if masked <= start + shift:
                break
            if masked < start + shift + length:
                return end if right else start
            shift += length - (end - start)
        return masked - shift

    def _searched(self, citation: dict[str, Any]) -> dict[str, Any] | None:
        cited = citation.get("cited_text")
        if self.text is None or not isinstance(cited, str) or not cited or self.text.count(cited) != 1:
            return None
        start = self.text.index(cited)
        return citation | {"start_char_index": start, "end_char_index": start + len(cited)}


class Citations:
    """Made once the request is masked, by `Cited.moved_by`."""

    def __init__(self, documents: list[_Document]) -> None:
        self._documents = documents

    def __bool__(self) -> bool:
        """Whether anything moved."""
        return any(document.edits or document.number != index for index, document in enumerate(self._documents))

    def back(self, citation: Any) -> Any:
        """One citation of an answer; None when it must be dropped."""
        index = citation.get("document_index") if isinstance(citation, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(self._documents):
            return citation
        return self._documents[index].back(citation)


class Cited:
    """The documents of a request before it is masked. `body` is the caller's, `request` the copy in which `removed` ones are gone."""

    def __init__(self, body: dict[str, Any], request: dict[str, Any], removed: Iterable[str]) -> None:
        gone = set(removed)
        numbers = {path: number for number, (path, _) in enumerate(_documents(body))}
        self._documents = [
            (path, numbers[path], _text(block))
            for path, block in _documents(request)
            if path in numbers and path not in gone
        ]

    def moved_by(self, edits: Iterable[tuple[str, Edit]]) -> Citations:
        """`edits`: (path of the text, edit), in order."""
        if not self._documents:
            return Citations([])
        of: dict[str, list[Edit]] = {}
        for path, edit in edits:
            of.setdefault(path, []).append(edit)
        return Citations(
            [
                _Document(number, text, tuple(of.get(f"{path}.source.data", ())))
                for path, number, text in self._documents
            ]
        )


def _text(block: dict[str, Any]) -> str | None:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) and source.get("type") == "text" else None
    return data if isinstance(data, str) else None


def _documents(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, block) in the order in which the provider counts them."""
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            yield from _in_content(f"messages[{index}].content", message.get("content"))


def _in_content(path: str, content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, block in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(block, dict):
            continue
        here = f"{path}[{index}]"
        if block.get("type") == "document":
            yield here, block
        elif block.get("type") in ("tool_result", "mcp_tool_result"):
            yield from _in_content(f"{here}.content", block.get("content"))
