"""Right answers of chapter 15, and usual mistakes with words of what is said about them."""

import torch


def gradient(W, p, Q):
    return p * (W.softmax(0) - Q)


def means(H, ids):
    return torch.stack([H.diag()[ids == b].mean() for b in range(int(ids.max()) + 1)])


def traces(H, ids):
    return torch.stack([H.diag()[ids == b].sum() for b in range(int(ids.max()) + 1)])


RIGHT = {
    "15.1": 400,
    "15.2": (299 / 301, 0.5),
    "15.3": gradient,
    "15.4": lambda H, ids: means(H, ids).log10().std(unbiased=False),
}
WRONG = [
    ("15.1", 4, "sign descent's answer"),
    ("15.1", 40, "square root"),
    ("15.1", 0.04, "Turned over"),
    ("15.1", 40_000, "there is no square"),
    ("15.1", 4000, "1/10 and not 1"),
    ("15.1", 17, "with the rate"),
    ("15.1", "many", "A number is asked for"),
    ("15.2", (0.5, 299 / 301), "wrong order"),
    ("15.2", (299 / 301, 1 / 3), "worst block"),
    ("15.2", (299 / 301, 299 / 301), "of its own"),
    ("15.2", (299 / 300, 2 / 3), "1 − 1/κ"),
    ("15.2", (300, 3), "condition numbers"),
    ("15.2", (0.5, 0.5), "from 1 to 300"),
    ("15.2", (0.9, 0.1), "of all blocks together"),
    ("15.2", 0.5, "shape (2,)"),
    ("15.3", lambda W, p, Q: -gradient(W, p, Q), "sign is flipped"),
    ("15.3", lambda W, p, Q: W.softmax(0) - Q, "p are missing"),
    ("15.3", lambda W, p, Q: p[:, None] * (W.softmax(0) - Q), "multiplies the rows"),
    ("15.3", lambda W, p, Q: p * (W.softmax(1) - Q), "wrong dimension"),
    ("15.3", lambda W, p, Q: p * W.softmax(0), "Subtract Q"),
    ("15.3", lambda W, p, Q: (W.softmax(0) - Q) / 5, "weighted by p"),
    ("15.3", lambda W, p, Q: W, "what follows"),
    ("15.3", lambda W: W, "raised TypeError"),
    ("15.4", lambda H, ids: traces(H, ids).log10().std(unbiased=False), "size of its block"),
    ("15.4", lambda H, ids: means(H, ids).log10().std(), "B − 1"),
    ("15.4", lambda H, ids: means(H, ids).std(unbiased=False), "before the deviation"),
    ("15.4", lambda H, ids: means(H, ids).log().std(unbiased=False), "natural logarithm"),
    ("15.4", lambda H, ids: means(H, ids).log10().var(unbiased=False), "variance"),
    ("15.4", lambda H, ids: means(H, ids).log10().max() - means(H, ids).log10().min(), "range"),
    ("15.4", lambda H, ids: H.diag().log10().std(unbiased=False), "labels play no part"),
    ("15.4", lambda H, ids: 0.123, "Off for the labels"),
]
