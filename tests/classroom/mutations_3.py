# ruff: noqa: E501
"""Wrong solutions of assignment 3: question, mistake, what stands there, what is written instead,
and the points that are lost."""

QR = "return Q * triangular.diagonal().sign()"
TURN = "w, state = step(R @ x, R @ g, state, t)"
PAIR = "float(H.abs().sum() / len(H)), float(torch.linalg.eigvalsh(H).abs().max())"
MEANS = "means = logs.mean(1).nan_to_num(nan=math.inf, posinf=math.inf)"
STDERR = "logs[best].std() / losses.shape[1] ** 0.5"

MUTATIONS = [
    ("q1", "QR without the signs", QR, "return Q", 3),
    ("q1", "not orthogonal", QR, "return Q @ triangular", 4),
    ("q1", "a seed that does nothing", "torch.Generator().manual_seed(seed)", "torch.Generator().manual_seed(0)", 4),
    ("q1", "determinant always 1", QR, "Q = Q * triangular.diagonal().sign()\n    Q[:, 0] *= torch.linalg.det(Q)\n    return Q", 3),
    ("q2", "the wrong way round", TURN, "w, state = step(R.T @ x, R.T @ g, state, t)", 5),
    ("q2", "not turned back", "return R.T @ w, state", "return w, state", 5),
    ("q2", "gradient not turned", TURN, "w, state = step(R @ x, g, state, t)", 5),
    ("q2", "state lost", "return R.T @ w, state", "return R.T @ w, None", 5),
    ("q3", "the factor d missing", PAIR, PAIR.replace(" / len(H)", ""), 3),
    ("q3", "largest eigenvalue for largest in size", PAIR, PAIR.replace("eigvalsh(H).abs()", "eigvalsh(H)"), 3),
    ("q3", "RᵀHR", "return R @ H @ R.T", "return R.T @ H @ R", 3),
    ("q4", "diverged runs ignored", MEANS, "means = torch.nanmean(logs, 1)", 4),
    ("q4", "standard deviation for standard error", STDERR, "logs[best].std()", 4),
    ("q4", "n for n − 1", STDERR, STDERR.replace("std()", "std(correction=0)"), 4),
    ("q4", "mean before log", MEANS, "means = losses.mean(1).log10().nan_to_num(nan=math.inf)", 4),
    ("q4", "edges not looked at", "best in (0, len(losses) - 1)", "False", 3),
]  # fmt: skip
