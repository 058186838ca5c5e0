"""The text of a PDF."""

import io
import logging

_MOST_PAGES = 500
_MOST_CHARACTERS = 4_000_000

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it quotes the document


def text_of(data: bytes) -> str | None:
    """All pages' text and form fields, or None when it is encrypted, broken, too long, or a page has no text."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted or not 0 < len(reader.pages) <= _MOST_PAGES:
            return None
        pages: list[str] = []
        for page in reader.pages:
            text = page.extract_text()
            if not text.strip():
                return None
            pages.append(text)
            if sum(map(len, pages)) > _MOST_CHARACTERS:
                return None
        fields = reader.get_form_text_fields() or {}
    except (
        PyPdfError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        OSError,
        OverflowError,
    ):
        return None
    pages += [f"{name}: {value}" for name, value in fields.items() if value]
    return "\n\n".join(pages)
