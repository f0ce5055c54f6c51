# ruff: noqa: E501
"""Wrong solutions of assignment 1: question, mistake, what stands there, what is written instead,
and the points that are lost."""

DUALS = "duals = [g.abs().max(), g.norm(), g.abs().sum(), blocks]"
L1 = "    best = g.abs().argmax()\n    step[best] = -g[best].sign()"
L2 = "-g / g.norm() if g.norm() > 0 else torch.zeros_like(g)"
MOVE = "path[-1] + dual(g) / H * lmo(g)"
CONSTANTS = "constants = [torch.linalg.eigvalsh(H).max(), H.abs().sum() / 2]"

MUTATIONS = [
    ("q1", "ℓ1 and ℓ∞ swapped", DUALS, "duals = [g.abs().sum(), g.norm(), g.abs().max(), blocks]", 3),
    ("q1", "norm of a step for its dual", "2**0.5 * g[:2].norm() + 3**0.5 * g[2:].norm()", "g[:2].norm() / 2**0.5 + g[2:].norm() / 3**0.5", 3),
    ("q1", "norm for squared norm", DUALS, DUALS.replace("g.norm()", "g.norm() ** 2"), 3),
    ("q1", "someone else's gradient", "g = my_gradient(STUDENT)", 'g = my_gradient("s2")', 3),
    ("q2", "uphill in ℓ∞", "return -g.sign()", "return g.sign()", 4),
    ("q2", "0/0 in ℓ2", L2, "-g / g.norm()", 1),
    ("q2", "all of the ℓ1 step", L1, "    step = -g / g.abs().sum()", 5),
    ("q2", "the gradient itself", L2, "-g", 4),
    ("q3", "Frobenius norm", "return -U @ Vh", "return -G / G.norm()", 4),
    ("q3", "spectral norm for its dual", "torch.linalg.svdvals(G).sum()", "torch.linalg.svdvals(G).max()", 4),
    ("q3", "uphill", "return -U @ Vh", "return U @ Vh", 4),
    ("q4", "the step has length 1/H", MOVE, "path[-1] + lmo(g) / H", 4),
    ("q4", "uphill", MOVE, "path[-1] - dual(g) / H * lmo(g)", 4),
    ("q4", "the start forgotten", "return torch.stack(path)", "return torch.stack(path[1:])", 4),
    ("q5", "the factor d missing", CONSTANTS, CONSTANTS.replace(" / 2", ""), 2),
    ("q5", "trace for the (1,1)-norm", CONSTANTS, CONSTANTS.replace("H.abs().sum()", "H.trace()"), 2),
    ("q5", "Frobenius for spectral", CONSTANTS, CONSTANTS.replace("torch.linalg.eigvalsh(H).max()", "H.norm()"), 2),
]  # fmt: skip
