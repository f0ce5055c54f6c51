"""Right answers of chapter 5, and usual mistakes with words of what is said about them."""

import math

import numpy
import torch


def same_path(make_optimizer, T, *, inverse=torch.linalg.inv, start=True, back=True, steps=8):
    """The solution of exercise 5.4, with the usual mistakes as options."""
    d = len(T)
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(d, d, generator=generator, dtype=torch.float64)
    x0 = torch.randn(d, generator=generator, dtype=torch.float64)

    def path(T):
        w = (T @ x0 if start else x0.clone()).requires_grad_()
        optimizer, points = make_optimizer([w]), []
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.softplus(A @ (inverse(T) @ w)).sum().backward()
            optimizer.step()
            points.append(inverse(T) @ w.detach() if back else w.detach().clone())
        return torch.stack(points)

    return torch.allclose(path(torch.eye(d, dtype=torch.float64)), path(T), rtol=1e-7, atol=1e-9)


def gradient_mapped_like_a_point(make_optimizer, T):
    d = len(T)
    x0 = torch.arange(1, d + 1, dtype=torch.float64)

    def path(T):
        w = (T @ x0).requires_grad_()
        optimizer = make_optimizer([w])
        for _ in range(5):
            x = torch.linalg.inv(T) @ w.detach()
            w.grad = T @ torch.tanh(x)
            optimizer.step()
        return torch.linalg.inv(T) @ w.detach()

    return torch.allclose(path(torch.eye(d, dtype=torch.float64)), path(T))


def variant(**options):
    return lambda make_optimizer, T: same_path(make_optimizer, T, **options)


RIGHT = {"5.1": 0.1 / math.sqrt(0.001), "5.2": 1.70, "5.3": (2, 1), "5.4": same_path}
WRONG = [
    ("5.1", 1.0, "*with* bias correction"),
    ("5.1", 100, "the root of v"),
    ("5.1", 0.1, "m₁ alone"),
    ("5.1", 0.316, "Upside down"),
    ("5.1", -3.162, "no sign"),
    ("5.1", 7, "Write m₁ and v₁"),
    ("5.2", 7.07, "bound for β₁ = 0"),
    ("5.2", 0.7071, "is missing"),
    ("5.2", 2.475, "β₁ is squared"),
    ("5.2", 2.882, "That is B²"),
    ("5.2", 1, "need β₁ = β₂"),
    ("5.2", "two", "A number is asked for"),
    ("5.3", (1, 2), "wrong order"),
    ("5.3", (-2, -1), "wrong way round"),
    ("5.3", (1, 1), "shrinks, too"),
    ("5.3", (0, 1), "not that with respect to x"),
    ("5.3", (2, 2), "only for the step's size"),
    ("5.3", (2, 0), "has to grow by c"),
    ("5.3", 2, "pair of exponents"),
    ("5.3", (1, 2, 3), "pair of exponents"),
    ("5.4", lambda make, T: True, "Adam is not blind to rotations"),
    ("5.4", lambda make, T: False, "denies it"),
    ("5.4", variant(start=False), "Start at w = Tx"),
    ("5.4", variant(back=False), "map w back"),
    ("5.4", variant(inverse=lambda T: T.T), "not its transpose"),
    ("5.4", gradient_mapped_like_a_point, "not T times"),
    ("5.4", lambda make, T: "yes", "True or False"),
    ("5.4", lambda make, T: torch.ones(3, dtype=torch.bool), "one a coordinate"),
    ("5.4", lambda make, T: numpy.array([True, False]), "one a coordinate"),
    ("5.4", lambda make: True, "raised TypeError"),
    ("5.4", True, "should be a function"),
]
