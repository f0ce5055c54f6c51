# ruff: noqa: E501
"""Wrong solutions of assignment 2: question, mistake, what stands there, what is written instead,
and the points that are lost."""

ADAM = "    root = (v / (1 - beta2**t)).sqrt() + eps\n    return x - lr * (m / (1 - beta1**t)) / root, m, v"
MEAN = "torch.zeros_like(v).index_add(0, ids, g**2) / torch.bincount(ids)"
L2 = "    g = g + weight_decay * x\n"
W = "    return (1 - lr * weight_decay) * x - lr * (m / (1 - betas[0] ** t)) / root, m, v"

MUTATIONS = [
    ("q1", "no bias correction of v", "/ math.sqrt(v / (1 - beta2**t))", "/ math.sqrt(v)", 2),
    ("q1", "a neighbour's figures", "in enumerate(gradients, 1)", "in ((1, 1.0), (2, -1.0))", 2),
    ("q1", "one step only", "enumerate(gradients, 1)", "enumerate(gradients[:1], 1)", 2),
    ("q2", "no bias correction", ADAM, "    return x - lr * m / (v.sqrt() + eps), m, v", 6),
    ("q2", "ε inside the root", ADAM, ADAM.replace(".sqrt() + eps", " + eps").replace("/ root", "/ root.sqrt()"), 4),
    ("q2", "uphill", ADAM, ADAM.replace("x - lr", "x + lr"), 6),
    ("q2", "v not under a root", ADAM, ADAM.replace(".sqrt() + eps", " + eps"), 6),
    ("q2", "moments handed back corrected", ADAM, ADAM.replace("root, m, v", "root, m / (1 - beta1**t), v"), 4),
    ("q3", "sum for mean", MEAN, MEAN.replace(" / torch.bincount(ids)", ""), 4),
    ("q3", "mean over all coordinates", MEAN, "torch.zeros_like(v) + (g**2).mean()", 5),
    ("q3", "mean of |g| squared", MEAN, f"({MEAN.replace('g**2', 'g.abs()')}) ** 2", 4),
    ("q3", "blocks ignored", MEAN, "torch.zeros_like(v) + (g**2)[: len(v)]", 4),
    ("q4", "both coupled", W, "    return adam_l2_step(x, g, m, v, t, lr, betas, eps, weight_decay)", 4),
    ("q4", "both decoupled", L2, "    x = (1 - lr * weight_decay) * x\n", 4),
    ("q4", "decay without lr", W, W.replace("lr * weight_decay", "weight_decay"), 4),
    ("q4", "decay with the wrong sign", L2, L2.replace("+", "-"), 4),
]  # fmt: skip
