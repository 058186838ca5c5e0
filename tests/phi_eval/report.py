"""The figures as tables: the same rows for the terminal and, with bars, for Markdown."""

from typing import Any

from tests.phi_eval.targets import GROUPS, TIMES, TYPES

_HEAD = ("full cover", "overlap", "precision", "F2", "docs without leak", "PHI-free untouched")
_ORDER = ("full", "overlap", "precision", "f2", "no_leak", "untouched")

Table = tuple[str, list[list[str]]]


def tables(report: dict[str, Any]) -> list[Table]:
    """Title and rows, the first row being the head. The last system is the one that is told of in full."""
    systems: dict[str, Any] = report["systems"]
    *_, (name, system) = systems.items()
    made: list[Table] = []
    if len(systems) > 1:
        made = [
            ("Side by side, all documents", _side_by_side(systems)),
            ("Full cover by data set, side by side", _full_beside(systems, "data")),
            ("Full cover by group of data sets, side by side", _full_beside(systems, "groups")),
            ("Full cover by type, side by side", _full_beside(systems, "types")),
        ]
    if system["groups"]:
        made.append((f"{name}: against its targets", _against_targets(system)))
    made += [
        (f"{name}: by data set", _by_data(system)),
        (f"{name}: by type", _by_type(system)),
        (f"{name}: full cover by type and data set", _by_both(system)),
        (f"{name}: full cover across authors", _across(system)),
    ]
    if latency := report.get("latency"):
        before, after = latency["load"]
        made.append((f"Latency in ms (load average {before} to {after})", _latency(latency)))
    return made


def terminal(made: list[Table]) -> str:
    return "\n\n".join(f"{title}\n{_aligned(rows)}" for title, rows in made)


def markdown(made: list[Table]) -> str:
    return "\n\n".join(f"**{_capital(title)}**\n\n{_barred(rows)}" for title, rows in made)


def _against_targets(system: dict[str, Any]) -> list[list[str]]:
    rows = [["", "figure", "target", "measured", "met"]]
    for group, measured in system["groups"].items():
        _, target = GROUPS[group]
        for name in ("full", "precision", "untouched"):
            wanted, rate = getattr(target, name), measured[name]
            if wanted is not None and rate["value"] is not None:
                said = dict(zip(_ORDER, _HEAD, strict=True))[name]
                met = "yes" if rate["value"] >= wanted else "no"
                rows.append([group, said, _share(wanted), _rate(rate), met])
    return rows


def _side_by_side(systems: dict[str, Any]) -> list[list[str]]:
    rows = [["", *_HEAD, "CPU ms / 1,000 chars"]]
    for name, system in systems.items():
        rows.append([name, *_rates(system["all"]), _number(system["all"]["ms_per_1000"])])
    return rows


def _full_beside(systems: dict[str, Any], part: str) -> list[list[str]]:
    *_, last = systems.values()
    rows = [["", "spans", *systems]]
    for name, figures in last[part].items():
        others = [
            system[part].get(name) for system in systems.values()
        ]  # a group may be younger than a system's figures
        rows.append([name, str(figures["spans"]), *(_rate(other["full"]) if other else "-" for other in others)])
    return rows


def _by_data(system: dict[str, Any]) -> list[list[str]]:
    rows = [["data set", "docs", "spans", *_HEAD, "CPU ms / 1,000 chars"]]
    for name, f in [*system["data"].items(), ("all", system["all"])]:
        rows.append([name, str(f["documents"]), str(f["spans"]), *_rates(f), _number(f["ms_per_1000"])])
    return rows


def _by_type(system: dict[str, Any]) -> list[list[str]]:
    rows = [["type", "spans", "target", *_HEAD[:4], "named right"]]
    for kind, f in system["types"].items():
        rows.append([kind, str(f["spans"]), _share(TYPES.get(kind)), *_rates(f)[:4], _rate(f["named"])])
    return rows


def _across(system: dict[str, Any]) -> list[list[str]]:
    across = system["across_authors"]
    return [
        ["of", "full cover"],
        ["mean of the data sets, each of equal weight", _share(across["mean_full"])],
        ["worst data set", _share(across["lowest_full"])],
        [
            "random halves of all documents, 20 seeds",
            f"{_share(across['lowest_half'])} to {_share(across['highest_half'])}",
        ],
    ]


def _by_both(system: dict[str, Any]) -> list[list[str]]:
    names = list(system["types_by_data"])
    rows = [["type", *names]]
    for kind in system["types"]:
        cells = [system["types_by_data"][name].get(kind) for name in names]
        rows.append([kind, *(f"{_share(cell['full'])} of {cell['of']}" if cell else "" for cell in cells)])
    return rows


def _latency(latency: dict[str, Any]) -> list[list[str]]:
    rows = [["characters", "what", "n", "p50", "p95", "p99", "target"]]
    for row in latency["rows"]:
        aims = zip(("p50", "p95"), TIMES.get((row["characters"], row["what"]), ()), strict=False)
        said = ", ".join(f"{share} {aim:g}" for share, aim in aims if aim is not None)
        measured = [_fine(row[share]) for share in ("p50", "p95", "p99")]
        rows.append([f"{row['characters']:,}", row["what"], str(row["n"]), *measured, said])
    return rows


def _rates(f: dict[str, Any]) -> list[str]:
    return [_rate(f[name]) for name in _ORDER]


def _rate(rate: dict[str, Any]) -> str:
    if rate["value"] is None:
        return "-"
    return f"{_share(rate['value'])} ({_share(rate['low'])}-{_share(rate['high'])})"


def _share(value: float | None) -> str:
    """Cut, not rounded: .9996 is not 1."""
    return "-" if value is None else f"{int(value * 1000 + 1e-9) / 1000:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _fine(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _barred(rows: list[list[str]]) -> str:
    head, *rest = rows
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rest)]
    )


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
