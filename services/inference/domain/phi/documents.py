"""Document blocks become text before anything is scanned: what cannot be read as text never leaves."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Protocol

from services.inference.domain.phi.refusals import PhiBlocked

DOCUMENT_REMOVED = "[DOCUMENT_REMOVED]"
_REFERENCES = ("container_upload", "file")


class DocumentReader(Protocol):
    async def read_pdf(self, data: bytes, deadline: float) -> str | None:
        """The text of a PDF, or None when a page has none or reading takes too much.

        Raises PhiGuardUnavailable when the reader fails.
        """
        ...


async def read_documents(body: dict[str, Any], reader: DocumentReader, *, block: bool, deadline: float) -> list[str]:
    """Replaces, in place, each document's source by its text, or the block by `[DOCUMENT_REMOVED]`.

    The text replaces a PDF even when nothing is found in it: a PDF also carries pictures, attachments and metadata
    that nobody has looked at. Returns the paths of the documents that were removed; with `block` one of them refuses.
    """
    removed: list[str] = []
    for path, holder, key in list(_documents(body)):
        item = holder[key]
        source = item.get("source")
        if item["type"] == "document" and isinstance(source, dict):
            if source.get("type") == "content" or (
                source.get("type") == "text" and isinstance(source.get("data"), str)
            ):
                continue
            text = await _read(source, reader, deadline)
            if text is not None:
                item["source"] = {"type": "text", "media_type": "text/plain", "data": text}
                continue
        if block:
            raise PhiBlocked([], "unscannable", path)
        replacement: dict[str, Any] = {"type": "text", "text": DOCUMENT_REMOVED}
        if "cache_control" in item:
            replacement["cache_control"] = item["cache_control"]
        holder[key] = replacement
        removed.append(path)
    return removed


async def _read(source: dict[str, Any], reader: DocumentReader, deadline: float) -> str | None:
    if source.get("type") != "base64" or not isinstance(source.get("data"), str):
        return None
    try:
        data = base64.b64decode("".join(source["data"].split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    media_type = str(source.get("media_type", "")).lower()
    if media_type == "application/pdf":
        text = await reader.read_pdf(data, deadline)
    elif media_type.startswith("text/"):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
    else:
        return None
    return text if text and text.strip() else None


def _documents(body: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(path, container, key) of every block that names or holds a document, at any depth but a tool's input."""
    pending: list[tuple[str, Any]] = [(key, body[key]) for key in ("system", "messages") if key in body]
    while pending:
        path, value = pending.pop()
        tool_use = isinstance(value, dict) and str(value.get("type")).endswith("tool_use")
        entries = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
        for key, item in entries:
            if not isinstance(item, dict | list) or (key == "input" and tool_use):
                continue
            inner = f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}"
            if isinstance(item, dict) and (item.get("type") == "document" or _is_reference(key, item)):
                yield inner, value, key
            pending.append((inner, item))


def _is_reference(key: Any, item: dict[str, Any]) -> bool:
    return key != "source" and item.get("type") in _REFERENCES and "file_id" in item
