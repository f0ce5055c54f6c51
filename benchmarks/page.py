"""The tables of the book's page of benchmarks, drawn from the results and from nothing else."""

from __future__ import annotations

from typing import Any

from benchmarks import (
    equal_accuracy,
    estimators,
    gpu_optimizers,
    gpu_training,
    hessian_products,
    optimizers,
    rotated,
)

BENCHMARKS = {
    "optimizers": optimizers,
    "rotated": rotated,
    "hessian_products": hessian_products,
    "estimators": estimators,
    "equal_accuracy": equal_accuracy,
}
"""Name on the command line, in the results and in the page's markers."""
ON_GPU = {
    "optimizers": gpu_optimizers,
    "training": gpu_training,
    "hessian_products": hessian_products,
}
"""What is measured with `--device cuda`, by the name on the command line and in the results."""


def render(results: dict[str, Any]) -> str:
    """All tables as Markdown; each part lies between comments, by which the page includes it."""
    parts = ["<!-- Written by `python -m benchmarks` from benchmarks/results.json. -->"]
    for name, module in BENCHMARKS.items():
        section = results["benchmarks"].get(name)
        body = render_section(module, section) if section else "Not measured yet."
        parts.append(f"<!-- {name} -->\n\n{body}\n\n<!-- end of {name} -->")
    parts.append(f"<!-- cuda -->\n\n{_gpu(results.get('cuda', {}))}<!-- end of cuda -->")
    return "\n\n".join(parts) + "\n"


def _gpu(sections: dict[str, Any]) -> str:
    """The whole chapter of a GPU, with its headings: nothing where nothing was measured."""
    blocks = ["## On a GPU"] if sections else []
    for name, module in ON_GPU.items():
        if name in sections:
            blocks += [f"### {module.TITLE}", module.TEXT, render_section(module, sections[name])]
    return "".join(f"{block}\n\n" for block in blocks)


def render_section(module: Any, section: dict[str, Any]) -> str:
    """The tables of one benchmark, its aims, and the circumstances."""
    blocks = []
    if hasattr(module, "tables"):  # errors: all cases together
        blocks += [_table(*table, left=1) for table in module.tables(section["cases"])]
    else:  # times: a table for each case
        for case in section["cases"]:
            note = module.note(case) if hasattr(module, "note") else ""
            blocks.append(
                f"**{case['case']}**: {case['parameters']:,} parameters in "
                f"{case['tensors']} tensors, {_rounds(case)} rounds. {note}".rstrip()
            )
            blocks.append(_table(*module.columns(case), left=1))
    blocks.append(_table(*_aims(section["aims"]), left=2))
    blocks.append(_circumstances(section))
    return "\n\n".join(blocks)


def _rounds(case: dict[str, Any]) -> int:
    return len(next(iter(case["times"].values()))["seconds"])


MEASURED = {
    "ratio_of_medians": "by medians",
    "ratio_of_minima": "by minima",
    "ratio_of_sd": "measured",
    "ratio_products": "measured",
    "ratio_low": "5 %",
    "ratio_high": "95 %",
}
"""Heads of an aim's ratios, by their names in the results."""


def _aims(aims: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    keys = [key for key in MEASURED if key in aims[0]]
    rows = [
        [
            row["aim"],
            row["case"],
            f"≤ {row['limit']:g}",
            *("more" if row[key] is None else f"{row[key]:.3g}" for key in keys),
            f"**{row['verdict']}**",
        ]
        for row in aims
    ]
    return ["Aim", "Case", "Ratio wanted", *(MEASURED[key] for key in keys), ""], rows


def _circumstances(section: dict[str, Any]) -> str:
    environment = section["environment"]
    measured = f"Measured {section['measured'][:10]} on one"
    name, version = environment["device_name"], f"torch {environment['torch']}"
    python = f"Python {environment['python']}"
    if environment["device"] == "cuda":
        driver = f"driver {environment['driver'] or 'unknown'}, CUDA {environment['cuda']}"
        return f"{measured} {name}, {driver}, {version}, {python}."
    before, after = (section["load"][when] for when in ("before", "after"))
    load = f"load average {before[0]:g} before and {after[0]:g} after" if before else "load unknown"
    lion = f"lion-pytorch {environment['lion-pytorch']}"
    return (
        f"{measured} thread of {name} ({environment['cores']} cores, {load}), {version}, {lion}, "
        f"{python}."
    )


def _table(header: list[str], rows: list[list[str]], left: int) -> str:
    align = [":--" if index < left else "--:" for index in range(len(header))]
    lines = [header, align, *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
