"""A view of the text in which disguised characters are plain, with the way back to the original offsets."""

import re
import unicodedata

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_PLAIN = {
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("‐‑‒−﹘﹣－", "-"),
    **dict.fromkeys("‘’ʼ′＇", "'"),
    **dict.fromkeys("“”＂", '"'),
}
# Letters of other scripts that look like Latin ones.
_TWINS = dict(
    zip(
        "аеорсухіјѕһԁԛԝкмтвнАВЕКМНОРСТУХІЈЅαορνικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijshdqwkmtbhABEKMHOPCTYXIJSaopvikABEZHIKMNOPTYX",
        strict=True,
    )
)
_LATIN = re.compile(r"[A-Za-z]")


class View:
    """`text` is what recognizers read; `back` turns its offsets into those of the original."""

    def __init__(self, original: str) -> None:
        self.text = original
        self._offsets: list[int] | None = None
        if not original.isascii():
            self._normalise(original)

    def back(self, start: int, end: int) -> tuple[int, int]:
        if self._offsets is None:
            return start, end
        return self._offsets[start], self._offsets[end]

    def _normalise(self, original: str) -> None:
        pieces: list[str] = []
        offsets: list[int] = []
        twins = bool(_LATIN.search(original))
        for index, character in enumerate(original):
            if character.isascii():
                plain = character
            elif _INVISIBLE.match(character):
                continue
            elif unicodedata.combining(character) and pieces:
                pieces[-1] = unicodedata.normalize("NFC", pieces[-1] + character)[: len(pieces[-1])]
                continue
            else:
                plain = _PLAIN.get(character) or (_TWINS.get(character) if twins else None) or _folded(character)
            pieces.append(plain)
            offsets.extend([index] * len(plain))
        self.text = "".join(pieces)
        self._offsets = [*offsets, len(original)]


def _folded(character: str) -> str:
    """Compatibility forms and foreign digits become plain; accents stay, names have them."""
    if character.isdigit():
        value = unicodedata.digit(character, None)
        return str(value) if value is not None else character
    folded = unicodedata.normalize("NFKC", character)
    return folded if folded and not folded.isspace() else " " if character.isspace() else character
