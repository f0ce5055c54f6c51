"""Right answers of chapter 3, and usual mistakes with words of what is said about them."""

import itertools
import math

import torch


def corners(H):
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=len(H))), dtype=H.dtype)


def sharp(H):
    return (corners(H) @ H).abs().sum(1).max().item()


def one_sided(H):
    return ((corners(H) @ H) * corners(H)).sum(1).max()


TWO = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
TRIANGLE = 3 * torch.eye(3) - torch.ones(3, 3)
RIGHT = {
    "3.1": (4, 5, 8),
    "3.2": lambda gap, C, T: ((2 * gap / C / T) ** 0.5, (2 * gap * C / T) ** 0.5),
    "3.3": sharp,
    "3.4": torch.kron(TWO, TWO),
    "3.5": [3, 3, 3, 10],
}


def turned(index):
    """The right plan, changed: a function of the two right numbers."""
    return lambda gap, C, T: index(*RIGHT["3.2"](gap, C, T))


ALSO_RIGHT = [("3.4", -3 * torch.kron(TWO, TWO)), ("3.5", torch.tensor([3.1, 3.1, 3.1, 10.0]))]
WRONG = [
    ("3.1", (2, 2.5, 4), "half of what"),
    ("3.1", (17**0.5, 5, 8), "Frobenius"),
    ("3.1", (5, 5, 8), "largest curvature"),
    ("3.1", (4, 4, 8), "all the curvatures add up"),
    ("3.1", (4, 10, 8), "does not belong to ℓ∞"),
    ("3.1", (4, 5, 4), "One block is not ℓ2"),
    ("3.1", (4, 5, 4 * 2**0.5), "not √d but d"),
    ("3.1", (4, 5, 2), "wrong side"),
    ("3.1", (4, 5), "this has 2"),
    ("3.1", 4, "Give 3 numbers"),
    ("3.2", turned(lambda lr, bound: (bound, lr)), "other order"),
    ("3.2", turned(lambda lr, bound: (lr / 2**0.5, bound)), "factor √2"),
    ("3.2", turned(lambda lr, bound: (lr**2, bound)), "root is missing"),
    ("3.2", lambda gap, C, T: (1 / C, gap), "dual-norm factor"),
    ("3.2", turned(lambda lr, bound: (lr, bound / 2)), "two terms"),
    ("3.2", turned(lambda lr, bound: (lr, bound**2)), "lacks its root"),
    ("3.2", turned(lambda lr, bound: (lr, bound + 1)), "put it into"),
    ("3.2", turned(lambda lr, bound: (3 * lr, bound)), "there is one that promises"),
    ("3.2", turned(lambda lr, bound: lr), "Give 2 numbers"),
    ("3.3", one_sided, "not semi-definite"),
    ("3.3", lambda H: H.abs().sum(), "(1,1)-norm, an upper bound"),
    ("3.3", lambda H: len(H) * torch.linalg.matrix_norm(H, 2), "d‖H‖₂, an upper bound"),
    ("3.3", lambda H: H.sum(1).abs().sum(), "for s = (1, …, 1) only"),
    ("3.3", lambda H: (corners(H) @ H).abs().max(), "largest entry"),
    ("3.3", lambda H: (corners(H) @ H).norm(dim=1).max(), "‖Hs‖₂"),
    ("3.3", lambda H: 1.01 * sharp(H), "too large"),
    ("3.3", lambda H: 0.99 * sharp(H), "too small"),
    ("3.3", 8.0, "should be a function"),
    ("3.4", torch.eye(4), "rank one"),
    ("3.4", torch.block_diag(TRIANGLE, torch.ones(1, 1)), "The ratio is"),
    ("3.4", torch.eye(4) + torch.ones(4, 4).triu(1), "not symmetric"),
    ("3.4", torch.zeros(4, 4), "zero matrix"),
    ("3.4", torch.eye(3), "should have shape"),
    ("3.4", torch.full((4, 4), math.nan), "finite"),
    ("3.5", [4, 4, 4, 10], "row sums"),
    ("3.5", [10, 10, 10, 10], "AdaSGD's bound"),
    ("3.5", [2, 2, 2, 10], "diagonal of H is not enough"),
    ("3.5", [3, 3, 3, 5], "is negative in the direction"),
    ("3.5", [3.5, 3.5, 3.5, 10], "Each block"),
    ("3.5", [3, 3, 3], "should have shape"),
]
