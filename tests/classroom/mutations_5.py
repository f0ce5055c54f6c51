# ruff: noqa: E501
"""Wrong solutions of assignment 5: question, mistake, what stands there, what is written instead,
and the points that are lost."""

BOX = "a.clamp(-1 / weight_decay, 1 / weight_decay)"
RESIDUAL = "1 + weight_decay * float(x @ g) / length if length > 0 else 0.0"
MOVE = "x + 2 / (t + 2) * (radius * lmo(grad(x)) - x)"
SIGN = "(1 - lr * weight_decay) * x - lr * grad(x).sign()"
LIMIT = "(1 - beta1) / (1 - beta1 / c) * math.sqrt((1 - beta2 / c**2) / (1 - beta2))"

MUTATIONS = [
    ("q1", "λ for 1/λ", BOX, "a.clamp(-weight_decay, weight_decay)", 2),
    ("q1", "scaled into the box", BOX, "a / (weight_decay * a.abs().max())", 2),
    ("q1", "someone else's numbers", "weight_decay, a = my_problem(STUDENT)", 'weight_decay, a = my_problem("s2")', 2),
    ("q2", "sign flipped", RESIDUAL, RESIDUAL.replace("1 + w", "1 - w"), 4),
    ("q2", "0/0", RESIDUAL, "1 + weight_decay * float(x @ g) / float(g.abs().sum() + 1e-300) * (1 if length > 0 else math.nan)", 3),
    ("q2", "‖g‖₂ for ‖g‖₁", "length = float(g.abs().sum())", "length = float(g.norm())", 4),
    ("q2", "λ for 1/λ", "float(x.abs().max()) - 1 / weight_decay", "float(x.abs().max()) - weight_decay", 4),
    ("q3", "the radius forgotten", MOVE, MOVE.replace("radius * ", ""), 4),
    ("q3", "sign flipped", MOVE, MOVE.replace("(radius", "(-radius"), 4),
    ("q3", "γ = 1/(t + 1)", MOVE, MOVE.replace("2 / (t + 2)", "1 / (t + 1)"), 4),
    ("q3", "the start forgotten", "path.append(x + 2 / (t + 2) * (radius * lmo(grad(x)) - x))\n    return torch.stack(path)", "path.append(x + 2 / (t + 2) * (radius * lmo(grad(x)) - x))\n    return torch.stack(path[1:])", 4),
    ("q4", "coupled", SIGN, "x - lr * (grad(x) + weight_decay * x).sign()", 4),
    ("q4", "decay without lr", SIGN, SIGN.replace("lr * weight_decay", "weight_decay"), 4),
    ("q4", "γ = η", "return 1 / weight_decay, lr * weight_decay", "return 1 / weight_decay, lr", 3),
    ("q5", "no root", LIMIT, LIMIT.replace("math.sqrt", ""), 4),
    ("q5", "c for c²", LIMIT, LIMIT.replace("c**2", "c"), 4),
    ("q5", "upside down", LIMIT, f"1 / ({LIMIT})", 4),
    ("q5", "the slope uphill", "betas[1] / (1 - betas[1]) - betas[0] / (1 - betas[0])", "betas[0] / (1 - betas[0]) - betas[1] / (1 - betas[1])", 3),
]  # fmt: skip
