"""Right answers of chapter 4, and usual mistakes with words of what is said about them."""

import math

import torch


def hvp(loss, x, v):
    (g,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (product,) = torch.autograd.grad(g @ v, x)
    return product


def gradient(loss, x):
    (g,) = torch.autograd.grad(loss(x), x)
    return g


def hvp_that_writes(loss, x, v):
    (g,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (g @ v).backward()
    return x.grad.clone()


def hessian(loss, x):
    return torch.autograd.functional.hessian(loss, x.detach())


def plain(samples):
    return samples.abs().log().mean(0).exp()


def scale(samples):
    k = len(samples)
    return math.cos(math.pi / (2 * k)) ** k * plain(samples)


def variance(r, p, n):
    return ((r**2 / p).sum() - r.sum() ** 2) / n


RIGHT = {"4.1": 61.5, "4.2": hvp, "4.3": scale, "4.4": 1.628, "4.5": variance}

ALSO_RIGHT = [("4.4", 42 * 1.2020569 / math.pi**3)]  # the exact median of three
WRONG = [
    ("4.1", 15.4, "counts the entries"),
    ("4.1", 123, "float64"),
    ("4.1", 30.8, "by symmetry"),
    ("4.1", 61.5e3, "terabytes"),
    ("4.1", 61.5e15, "Those are bytes"),
    ("4.1", 5e-7, "one row"),
    ("4.1", 7, "d² entries"),
    ("4.1", math.inf, "finite"),
    ("4.2", lambda loss, x, v: gradient(loss, x), "That is the gradient"),
    ("4.2", lambda loss, x, v: gradient(loss, x) * v, "once more"),
    ("4.2", lambda loss, x, v: hessian(loss, x).diagonal() * v, "diagonal of H alone"),
    ("4.2", lambda loss, x, v: hessian(loss, x).sum(0), "vector of ones"),
    ("4.2", lambda loss, x, v: v * hvp(loss, x, v), "elementwise"),
    ("4.2", lambda loss, x, v: v @ hvp(loss, x, v), "should have shape"),
    (
        "4.2",
        lambda loss, x, v: hvp(loss, torch.zeros(5).double().requires_grad_(), v),
        "Where is H",
    ),
    ("4.2", lambda loss, x, v: torch.autograd.grad(gradient(loss, x) @ v, x)[0], "raised Runtime"),
    ("4.2", hvp_that_writes, "x.grad was written"),
    ("4.3", plain, "removes its bias is missing"),
    ("4.3", lambda s: math.cos(math.pi / (2 * len(s))) * plain(s), "k of them"),
    ("4.3", lambda s: plain(s) ** 2 / scale(s), "too large on average"),
    ("4.3", lambda s: math.cos(math.pi / len(s)) ** len(s) * plain(s), "the angle is"),
    ("4.3", lambda s: s.abs().median(0).values, "the median"),
    ("4.3", lambda s: s.abs().mean(0), "no expectation"),
    ("4.3", lambda s: s.log().mean(0).exp(), "both signs"),
    ("4.3", lambda s: scale(s.T), "One estimate a column"),
    ("4.3", lambda s: 2 * scale(s), "compare the theorem"),
    ("4.3", 3.0, "should be a function"),
    ("4.4", 1.0, "median of |C| itself"),
    ("4.4", 1.3124, "five probes"),
    ("4.4", 0.2714, "its factor, 6"),
    ("4.4", 0.628, "That is the bias"),
    ("4.4", 0.9, "above 1"),
    ("4.4", 1.54, "without its correction"),
    ("4.4", 2.5, "middle of three uniforms"),
    ("4.5", lambda r, p, n: (r**2 / p).sum() / n, "second moment"),
    ("4.5", lambda r, p, n: n * variance(r, p, n), "one draw"),
    ("4.5", lambda r, p, n: variance(r, p, n) / n, "not 1/n²"),
    ("4.5", lambda r, p, n: (r / p).var() / n, "rows alike"),
    ("4.5", lambda r, p, n: variance(r, p, n).sqrt(), "standard deviation"),
    ("4.5", lambda r, p, n: ((r**2 / p).sum() - (r**2).sum()) / n, "not Σr²"),
    ("4.5", lambda r, p, n: 0.0, "you return"),
]
