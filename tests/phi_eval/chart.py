"""Full-cover recall by type as bars with their intervals, one bar a system: an SVG that fetches nothing."""

from typing import Any
from xml.sax.saxutils import escape

_COLOURS = ("#b8bec9", "#7aa6d8", "#14508c")  # the last system is the one that matters: the darkest
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 150, 560, 9, 9, 64


def svg(systems: dict[str, Any]) -> str:
    """`systems` in the order in which they shall stand; at most three."""
    names = list(systems)[-3:]
    colours = _COLOURS[-len(names) :]
    last = systems[names[-1]]
    rows = [("all", {name: systems[name]["all"] for name in names})]
    rows += [(kind, {name: systems[name]["types"].get(kind) for name in names}) for kind in last["types"]]
    step = _BAR * len(names) + _GAP
    height = _TOP + step * len(rows) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 70} {height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="12" y="22" font-size="15" fill="#111">Full-cover recall by type, with 95 % intervals (synthetic text)</text>',
    ]
    for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
        x = _LEFT + index * 190
        parts.append(f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="46" fill="#333">{escape(name)}</text>')
    for tenth in range(0, 11, 2):
        x = _LEFT + _WIDTH * tenth / 10
        parts.append(f'<line x1="{x:g}" y1="{_TOP - 6}" x2="{x:g}" y2="{height - 26}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:g}" y="{height - 10}" text-anchor="middle" fill="#555">{tenth / 10:.1f}</text>')
    for index, (kind, of_system) in enumerate(rows):
        y = _TOP + index * step
        spans = (of_system[names[-1]] or {}).get("spans", 0)
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + (step - _GAP) / 2 + 4:g}" text-anchor="end" fill="#111">{escape(kind)} '
            f'<tspan fill="#777" font-size="10">n={spans}</tspan></text>'
        )
        for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
            measured = of_system[name]
            if measured and measured["full"]["value"] is not None:
                parts += _bar(y + place * _BAR, colour, measured["full"])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(y: float, colour: str, rate: dict[str, float]) -> list[str]:
    low, high = (_LEFT + _WIDTH * rate[end] for end in ("low", "high"))
    middle = y + _BAR / 2
    return [
        f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH * rate["value"]:.1f}" height="{_BAR - 1}" fill="{colour}"/>',
        f'<line x1="{low:.1f}" y1="{middle:g}" x2="{high:.1f}" y2="{middle:g}" stroke="#d9480f" stroke-width="1.5"/>',
    ]
