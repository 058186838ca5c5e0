"""Pages to write on, from the top down. Lengths are points, from the upper left corner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos
from fpdf.fonts import TTFFont
from fpdf.prefs import ViewerPreferences

from services.compliance.clients.press.fonts import FIXED, TEXT, Font, Fonts
from services.compliance.clients.press.lines import Line
from services.compliance.domain.clauses import Face
from services.compliance.domain.documents import LANGUAGE, Document

# US letter.
WIDTH, HEIGHT = 612.0, 792.0
LEFT, TOP = 78.0, 76.0
RIGHT, BOTTOM = WIDTH - LEFT, HEIGHT - 88.0
_FOOT = HEIGHT - 52.0

Colour = tuple[int, int, int]
INK, SOFT, RULE, TINT = (24, 28, 34), (92, 100, 110), (196, 202, 210), (246, 247, 249)
_STYLES = {Face.ROMAN: "", Face.BOLD: "B", Face.ITALIC: "I"}


@dataclass(frozen=True, slots=True)
class Type:
    """Size and distance of lines. The baseline lies in the line as fpdf2 puts it there."""

    size: float
    leading: float
    colour: Colour = INK

    @property
    def baseline(self) -> float:
        return self.leading / 2 + 0.3 * self.size


BODY, SMALL = Type(10.0, 14.5), Type(8.0, 11.0, SOFT)


class Sheets:
    """`y` is where the next line begins. `folder` is for the files that fpdf2 wants fonts in; it reads them until the end."""

    def __init__(self, document: Document, fonts: Fonts, folder: Path) -> None:
        self.y = TOP
        self.spelled_out = False
        """Whether some character was given by its code point."""
        self._folder = folder
        self._fonts = fonts
        self._widths: dict[tuple[Face, float, str], float] = {}
        self._pdf = pdf = FPDF(unit="pt", format=(WIDTH, HEIGHT))
        pdf.set_auto_page_break(False)
        pdf.set_margins(LEFT, TOP, WIDTH - RIGHT)
        pdf.c_margin = 0
        pdf.str_alias_nb_pages = ""  # else fpdf2 would put a number in the place of a name that is "{nb}"
        pdf.set_title(f"{document.title}, version {document.version}")
        pdf.set_subject(f"Acceptance {document.acceptance_id}")
        pdf.set_creator("Hasp")
        pdf.set_lang(LANGUAGE)
        pdf.viewer_preferences = ViewerPreferences(display_doc_title=True)
        pdf.pdf_version = "1.7"  # what PAdES builds on
        pdf.set_creation_date(document.made_at)
        for (family, style), font in fonts.faces.items():
            pdf.add_font(family, style, self._file(f"{family}{style}", font))
        pdf.add_page()

    @property
    def page(self) -> int:
        return self._pdf.page

    @property
    def left(self) -> float:
        """Room on this page."""
        return BOTTOM - self.y

    def new_page(self) -> None:
        self._pdf.add_page()
        self.y = TOP

    def keep(self, height: float) -> None:
        """Go to a new page where there is no room for this height on the present one."""
        if height > self.left:
            self.new_page()

    def section(self, title: str, level: int) -> None:
        """An entry of the outline that leads here; level 0 is the uppermost."""
        self._pdf.set_y(self.y)
        self._pdf.start_section(title, level, strict=False)

    def line(self, x: float, line: Line, type_: Type = BODY) -> None:
        """Write a line that begins at `x`, and go on below it."""
        for run in line:
            self.write(x, self.y, run.text, run.face, type_)
            x += self.width(run.text, run.face, type_)
        self.y += type_.leading

    def write(self, x: float, y: float, text: str, face: Face = Face.ROMAN, type_: Type = BODY) -> None:
        """Write on a line whose top is at `y`: text of ours, in Latin letters. Raises ValueError for others, which would be empty boxes."""
        if not self._fonts.is_latin(text):
            raise ValueError("the typeface of the text does not have all of its characters")
        self._pdf.set_font(TEXT, _STYLES[face], type_.size)
        self._pdf.set_text_color(*type_.colour)
        self._pdf.text(x, y + type_.baseline, text)

    def width(self, text: str, face: Face = Face.ROMAN, type_: Type = BODY) -> float:
        key = (face, type_.size, text)
        if key not in self._widths:
            self._pdf.set_font(TEXT, _STYLES[face], type_.size)
            self._widths[key] = self._pdf.get_string_width(text)
        return self._widths[key]

    def typed(
        self, x: float, y: float, width: float, text: str, *, fixed_width: bool = False, dry: bool = False
    ) -> float:
        """Write what a person typed, in any script, on as many lines as it takes; what is longer than a line is cut. The height.

        `dry` only measures.
        """
        text, asked = self._fonts.legible(text), text
        self.spelled_out |= text.count("U+") > asked.count("U+")
        family = self._fonts.family(text)
        self._use(family, fixed_width=fixed_width)
        self._pdf.set_xy(x, y)
        height = self._pdf.multi_cell(
            width,
            BODY.leading,
            text,
            align="L",
            dry_run=dry,
            output=MethodReturnValue.HEIGHT,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )
        self._pdf.set_text_shaping(False)
        return cast("float", height)

    def rule(self, y: float, x: float = LEFT, end: float = RIGHT) -> None:
        self._pdf.set_line_width(0.5)
        self._pdf.set_draw_color(*RULE)
        self._pdf.line(x, y, end, y)

    def panel(self, y: float, height: float) -> None:
        """A tinted rectangle over the width of the text."""
        self._pdf.set_draw_color(*RULE)
        self._pdf.set_fill_color(*TINT)
        self._pdf.set_line_width(0.5)
        self._pdf.rect(LEFT, y, RIGHT - LEFT, height, style="DF")

    def finish(self, document: Document) -> bytes:
        """The file, with its feet: only now it is known how many pages there are."""
        pages = self._pdf.pages_count
        for page in range(1, pages + 1):
            self._pdf.page = page
            # fpdf2 thinks of the page it wrote to last, and would leave out what it believes to be set.
            self._pdf.current_font_is_set_on_page = False
            self._pdf.set_draw_color(*INK)
            self._pdf.set_line_width(1.0)
            number = f"Page {page} of {pages}"
            self.rule(_FOOT - 4)
            self.write(LEFT, _FOOT, document.title, type_=SMALL)
            self.write(RIGHT - self.width(number, type_=SMALL), _FOOT, number, type_=SMALL)
            self.write(LEFT, _FOOT + SMALL.leading, document.reference, type_=SMALL)
        return bytes(self._pdf.output())

    def close(self) -> None:
        """Close the fonts' files, also where nothing was finished."""
        for font in self._pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.close()

    def _use(self, family: str | None, *, fixed_width: bool) -> None:
        """The font for a text that `family` covers; several fonts where none does alone."""
        self._pdf.set_text_color(*INK)
        if family == TEXT:
            self._pdf.set_font(FIXED if fixed_width else TEXT, "", BODY.size)
            return
        wanted = [family] if family else list(self._fonts.names)
        for name in wanted:
            if name not in self._pdf.fonts:
                self._pdf.add_font(name, "", self._file(name, self._fonts.names[name]))
        self._pdf.set_font(wanted[0], "", BODY.size)
        self._pdf.set_fallback_fonts(wanted[1:])
        self._pdf.set_text_shaping(True)

    def _file(self, name: str, font: Font) -> Path:
        file = self._folder / f"{name}.ttf"
        file.write_bytes(font.content)
        return file
