"""The tables of the book's page of benchmarks, drawn from the results and from nothing else."""

from __future__ import annotations

from typing import Any

from benchmarks import estimators, hessian_products, optimizers, rotated

BENCHMARKS = {
    "optimizers": optimizers,
    "rotated": rotated,
    "hessian_products": hessian_products,
    "estimators": estimators,
}
"""Name on the command line, in the results and in the page's markers."""


def render(results: dict[str, Any]) -> str:
    """All tables as Markdown; each part lies between comments, by which the page includes it."""
    parts = ["<!-- Written by `python -m benchmarks` from benchmarks/results.json. -->"]
    for name in BENCHMARKS:
        section = results["benchmarks"].get(name)
        body = render_section(name, section) if section else "Not measured yet."
        parts.append(f"<!-- {name} -->\n\n{body}\n\n<!-- end of {name} -->")
    return "\n\n".join(parts) + "\n"


def render_section(name: str, section: dict[str, Any]) -> str:
    """The tables of one benchmark, its aims, and the circumstances."""
    blocks = []
    if name == "estimators":
        blocks.append(_table(*estimators.columns(section["cases"]), left=1))
    else:
        for case in section["cases"]:
            blocks.append(
                f"**{case['case']}**: {case['parameters']:,} parameters in "
                f"{case['tensors']} tensors, {_rounds(case)} rounds."
            )
            blocks.append(_table(*BENCHMARKS[name].columns(case), left=1))
    blocks.append(_table(*_aims(section["aims"]), left=2))
    blocks.append(_circumstances(section))
    return "\n\n".join(blocks)


def _rounds(case: dict[str, Any]) -> int:
    return len(next(iter(case["times"].values()))["seconds"])


def _aims(aims: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    by_sd = any("ratio_of_sd" in row for row in aims)
    measured = ["measured"] if by_sd else ["by medians", "by minima"]
    keys = ["ratio_of_sd"] if by_sd else ["ratio_of_medians", "ratio_of_minima"]
    rows = [
        [
            row["aim"],
            row["case"],
            f"≤ {row['limit']:g}",
            *(f"{row[key]:.3g}" for key in keys),
            f"**{row['verdict']}**",
        ]
        for row in aims
    ]
    return ["Aim", "Case", "Ratio wanted", *measured, ""], rows


def _circumstances(section: dict[str, Any]) -> str:
    environment = section["environment"]
    before, after = (section["load"][when] for when in ("before", "after"))
    load = f"load average {before[0]:g} before and {after[0]:g} after" if before else "load unknown"
    return (
        f"Measured {section['measured'][:10]} on one thread of {environment['device_name']} "
        f"({environment['cores']} cores, {load}), torch {environment['torch']}, "
        f"lion-pytorch {environment['lion-pytorch']}, Python {environment['python']}."
    )


def _table(header: list[str], rows: list[list[str]], left: int) -> str:
    align = [":--" if index < left else "--:" for index in range(len(header))]
    lines = [header, align, *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
