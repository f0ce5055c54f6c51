"""Right answers of chapter 1, and usual mistakes with words of what is said about them."""

import torch


def adasgd(x, g, m, v, t, lr, betas, eps, *, mean=torch.mean, correct=True, inside=False, sign=-1):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * mean(g * g)
    mh, vh = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
    return x + sign * lr * mh / ((vh + eps) ** 0.5 if inside else vh**0.5 + eps), m, v


def variant(**options):
    return lambda *arguments: adasgd(*arguments, **options)


RIGHT = {
    "1.1": 0.1,
    "1.2": adasgd,
    "1.3": lambda theta, g, q, lr: q.T @ (q @ theta - lr * torch.sign(q @ g)),
}
WRONG = [
    ("1.1", -0.1, "sign is not"),
    ("1.1", 0.3162, "bias correction"),
    ("1.1", 0.0001, "step of SGD"),
    ("1.1", 3.3e-5, "one size for all"),
    ("1.1", 7.0, "that coordinate alone"),
    ("1.1", "a tenth", "A number is asked for"),
    ("1.1", float("nan"), "finite number"),
    ("1.2", variant(mean=lambda s: s), "that is Adam"),
    ("1.2", variant(mean=torch.sum), "sum of the squares"),
    ("1.2", variant(mean=lambda s: s.mean() ** 0.5), "mean square is asked for"),
    ("1.2", variant(correct=False), "bias correction is missing"),
    ("1.2", variant(inside=True), "inside the root"),
    ("1.2", variant(sign=1), "sign is flipped"),
    ("1.2", lambda x, g, m, v, t, lr, betas, eps: x, "three new values"),
    ("1.2", lambda x, g, m, v, t, lr, betas, eps: (x, m, v), "off after step t = 1"),
    ("1.2", lambda x: x, "raised TypeError"),
    ("1.2", 3, "should be a function"),
    ("1.3", lambda theta, g, q, lr: theta - lr * g.sign(), "plain sign descent"),
    ("1.3", lambda theta, g, q, lr: theta - lr * (q @ g).sign(), "rotate it back"),
    ("1.3", lambda theta, g, q, lr: theta - lr * q @ (q.T @ g).sign(), "wrong way round"),
    ("1.3", lambda theta, g, q, lr: theta + lr * q.T @ (q @ g).sign(), "up the slope"),
    ("1.3", lambda theta, g, q, lr: q @ theta - lr * (q @ g).sign(), "new θ"),
    ("1.3", lambda theta, g, q, lr: theta - lr * g, "gradient descent"),
    ("1.3", lambda theta, g, q, lr: theta[:1], "should have shape"),
]
