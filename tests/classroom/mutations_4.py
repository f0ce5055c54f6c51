# ruff: noqa: E501
"""Wrong solutions of assignment 4: question, mistake, what stands there, what is written instead,
and the points that are lost."""

SECOND = "return list(torch.autograd.grad(inner, params, materialize_grads=True))"
MEDIAN = "products.abs().quantile(0.5, dim=0).sum()"
FACTOR = "math.cos(math.pi / (2 * k)) ** k"
TERM = "matvec(eye[i]).abs().sum() / p[i] for i in drawn"
HALF = "half = quantile * terms.std() / len(terms) ** 0.5"
PROBES = "math.ceil((math.pi / (2 * my_target(STUDENT))) ** 2)"

MUTATIONS = [
    ("q1", "the gradient", SECOND, "return [g.detach() for g in grads]", 6),
    ("q1", "None where there is no curvature", SECOND, SECOND.replace("materialize_grads", "allow_unused"), 1),
    ("q1", "twice the product", SECOND, SECOND.replace("grad(inner", "grad(2 * inner"), 6),
    ("q1", "v on the wrong side of a nonlinearity", "inner = sum((g * u).sum() for g, u in zip(grads, v))", "inner = sum((g * g).sum() for g, u in zip(grads, v))", 6),
    ("q2", "the factor forgotten", FACTOR, "1", 4),
    ("q2", "the power forgotten", FACTOR, "math.cos(math.pi / (2 * k))", 4),
    ("q2", "the lower median", MEDIAN, "products.abs().median(0).values.sum()", 4),
    ("q2", "mean over the rows", MEDIAN, MEDIAN.replace("sum()", "mean()"), 4),
    ("q3", "not divided by the chances", TERM, TERM.replace(" / p[i]", ""), 5),
    ("q3", "rows drawn evenly, weighted as if not", "torch.multinomial(p, rows", "torch.multinomial(torch.ones(d), rows", 3),
    ("q3", "the sketch thrown away", "p = 0.9 * share / share.sum() + 0.1 / d", "p = torch.full((d,), 1 / d)", 3),
    ("q3", "a product too many", "eye = torch.eye(d)", "eye = torch.eye(d)\n    matvec(eye[0])", 3),
    ("q3", "a generator of its own", "torch.multinomial(p, rows, replacement=True, generator=generator)", "torch.multinomial(p, rows, replacement=True)", 1),
    ("q4", "no √n", HALF, "half = quantile * terms.std()", 3),
    ("q4", "n for n − 1", HALF, HALF.replace("std()", "std(correction=0)"), 3),
    ("q4", "low and high swapped", "return float(terms.mean() - half), float(terms.mean() + half)", "return float(terms.mean() + half), float(terms.mean() - half)", 3),
    ("q5", "not squared", PROBES, "math.ceil(math.pi / (2 * my_target(STUDENT)))", 2),
    ("q5", "rounded down", PROBES, PROBES.replace("ceil", "floor"), 2),
    ("q5", "someone else's target", PROBES, PROBES.replace("STUDENT", '"s2"'), 2),
]  # fmt: skip
