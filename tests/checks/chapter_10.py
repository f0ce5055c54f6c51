"""Right answers of chapter 10, and usual mistakes with words of what is said about them."""

import torch


def ratio(v):
    v = v.abs()
    return v.max() / v.quantile(0.5)


def mode(W1, W2, A, sign=1):
    return W2[0] + sign * W1 @ (A[0] / A[0].norm())


def even(W1, W2):
    size = W2.abs().flatten()
    return W1 * size[:, None], W2 / size


RIGHT = {"10.1": 16, "10.2": ratio, "10.3": mode, "10.4": even}
# The mode may have any length and sign, and be a row.
ALSO_RIGHT = [("10.3", lambda W1, W2, A: -3 * mode(W1, W2, A)[None, :])]
WRONG = [
    ("10.1", 4.0, "the weights themselves"),
    ("10.1", 64, "over the smallest"),
    ("10.1", 3.596, "over the mean"),
    ("10.1", 7, "divide the largest by the middle one"),
    ("10.1", "much", "A number is asked for"),
    ("10.2", lambda v: v.abs().max() / v.abs().median(), "lower of the two"),
    ("10.2", lambda v: v.max() / v.median(), "can be negative"),
    ("10.2", lambda v: v.max() / v.quantile(0.5), "can be negative"),
    ("10.2", lambda v: v.abs().max() / v.quantile(0.5).abs(), "absolute values first"),
    ("10.2", lambda v: v.abs().max() / v.abs().mean(), "by the mean"),
    ("10.2", lambda v: v.abs().max() / v.abs().min(), "smallest entry"),
    ("10.2", lambda v: 1 / ratio(v), "Upside down"),
    ("10.2", lambda v: 1.0, "your ratio is 1"),
    ("10.2", lambda: 1.0, "raised TypeError"),
    ("10.3", lambda W1, W2, A: mode(W1, W2, A, sign=-1), "dies out"),
    ("10.3", lambda W1, W2, A: W2[0], "W₂ alone"),
    ("10.3", lambda W1, W2, A: W1 @ A[0], "W₁a alone"),
    ("10.3", lambda W1, W2, A: W2[0] + W1 @ A[0], "length one"),
    ("10.3", lambda W1, W2, A: W2[0] + W1.sum(dim=1), "Weigh the columns"),
    ("10.3", lambda W1, W2, A: W2[0] ** 2, "which sum grows"),
    ("10.3", lambda W1, W2, A: A[0], "should have shape"),
    ("10.3", lambda W1, W2, A: W1.T @ A[0], "raised RuntimeError"),
    ("10.4", lambda W1, W2: (W1, W2), "as they were"),
    ("10.4", lambda W1, W2: (W1, torch.ones_like(W2)), "has to pay"),
    ("10.4", lambda W1, W2: (even(W1, W2)[0], torch.ones_like(W2)), "signs of W₂ are lost"),
    ("10.4", lambda W1, W2: (2 * W1, W2), "has changed"),
    ("10.4", lambda W1, W2: W2, "Return two tensors"),
    ("10.4", lambda W1, W2: (2 * W1, W2 / 2), "not 1"),
    ("10.4", lambda W1, W2: (W1 / W1.norm(dim=1)[:, None], W2 * W1.norm(dim=1)), "second layer"),
]
