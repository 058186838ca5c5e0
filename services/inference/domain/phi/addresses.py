"""What stands in a web address beside its host. A whole address may be harmless configuration while its query names a patient."""

import re
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from services.inference.domain.phi.json_text import words

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://[^\s\"'<>]+")
_LETTER_JOINTS = re.compile(r"[_+]|(?<=[^\W\d_])-(?=[^\W\d_])")


def addresses_in(text: str) -> list[str]:
    return _ADDRESS.findall(text)


def said_in(address: str) -> str:
    """An address as lines for the scanner: user, segments of the path, `key: value` of the query; not its host."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return unquote_plus(address)
    pairs = [f"{words(key)}: {value}" for key, value in parse_qsl(parts.query, keep_blank_values=True)]
    lines = [
        unquote(parts.netloc.rpartition("@")[0]),
        *map(_worded, parts.path.split("/")),
        *pairs,
        _worded(parts.fragment),
    ]
    return "\n".join(line for line in lines if line)


def _worded(segment: str) -> str:
    return _LETTER_JOINTS.sub(" ", unquote(segment))
