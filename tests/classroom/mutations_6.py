# ruff: noqa: E501
"""Wrong solutions of assignment 6: question, mistake, what stands there, what is written instead,
and the points that are lost."""

TEXT = 'file.read_text(encoding="utf-8")'
EDGE = "lr in (min(table), max(table)) or not math.isfinite(mean[lr])"
ERROR = "float(delta.std()) / len(seeds) ** 0.5"

MUTATIONS = [
    ("q2", "no record", TEXT, '"{}"', 5),
    ("q2", "three seeds", "seeds: tuple = (0, 1, 2, 3, 4)", "seeds: tuple = (0, 1, 2)", 2),
    ("q2", "a seed that does nothing", "generator = torch.Generator().manual_seed(seed)", "generator = torch.Generator().manual_seed(0)", 3),
    ("q2", "the best rate at the edge", "range(-3, 4)", "range(-9, -4)", 3),
    ("q2", "one method", 'for method in LRS\n', 'for method in ["adam"]\n', 2),
    ("q3", "the wrong way round", "best[worse][s] - best[better][s]", "best[better][s] - best[worse][s]", 4),
    ("q3", "edges not looked at", EDGE, "False", 3),
    ("q3", "standard deviation for standard error", ERROR, "float(delta.std())", 3),
    ("q3", "no error at all", ERROR, "0.0", 3),
]  # fmt: skip
