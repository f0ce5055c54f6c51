"""Checks of the exercises of chapter 1."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("1.1")
def first_adam_step(answer):
    """The second coordinate of Adam's first step, η = 0.1, g = (3, −0.001), ε = 0."""
    value = as_number(answer)
    lr, beta1, beta2, gradient = 0.1, 0.9, 0.999, -0.001
    right = -lr * math.copysign(1.0, gradient)
    if math.isclose(value, right, rel_tol=1e-3):
        return "The size of the gradient has cancelled: only its sign is left."
    if math.isclose(value, -right, rel_tol=1e-3):
        raise Wrong("The size is right and the sign is not: a step goes against the gradient.")
    if math.isclose(abs(value), lr * (1 - beta1) / math.sqrt(1 - beta2), rel_tol=1e-2):
        raise Wrong("That is what comes out when the bias correction is forgotten.")
    if math.isclose(abs(value), lr * abs(gradient), rel_tol=1e-2):
        raise Wrong("That is the step of SGD: it is proportional to the gradient.")
    if math.isclose(abs(value), lr * abs(gradient) / 3, rel_tol=0.5):
        raise Wrong("That divides by one size for all coordinates; Adam has one a coordinate.")
    raise Wrong("Write m̂₁ and v̂₁ with the bias correction, then m̂₁/√v̂₁ of that coordinate alone.")


def _adasgd(x, g, m, v, t, lr, betas, eps, *, mean=torch.mean, correct=True, inside=False, sign=-1):
    """AdaSGD's step, with the usual mistakes as options; without any, the formula of the text."""
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * mean(g**2)
    m_hat = m / (1 - beta1**t) if correct else m
    v_hat = v / (1 - beta2**t) if correct else v
    root = torch.sqrt(v_hat + eps) if inside else torch.sqrt(v_hat) + eps
    return x + sign * lr * m_hat / root, m, v


# Each usual mistake: how to make it, and what to say when the answer equals it.
_ADASGD_MISTAKES = (
    (
        {"mean": lambda s: s},
        "Each coordinate has its own v here: that is Adam. AdaSGD has one v for all.",
    ),
    ({"mean": torch.sum}, "v collects the sum of the squares; the mean is asked for."),
    (
        {"mean": lambda s: s.mean().sqrt()},
        "v collects the norm of g; its mean square is asked for.",
    ),
    ({"correct": False}, "The bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ."),
    ({"inside": True}, "ε stands inside the root; here it is added to the root."),
    ({"sign": 1}, "The step goes up the slope: its sign is flipped."),
)


@exercise("1.2")
def adasgd_step(answer):
    """`step(x, g, m, v, t, lr, betas, eps) -> (x, m, v)`: one step of AdaSGD."""
    generator = torch.Generator().manual_seed(12)
    betas, eps, lr = (0.9, 0.99), 1e-2, 0.1
    x, zero = torch.randn(5, generator=generator, dtype=torch.float64), torch.zeros(5).double()
    given, reference = (x, zero, zero.sum()), (x, zero, zero.sum())
    mistakes = {name: (x, zero, zero.sum()) for name in range(len(_ADASGD_MISTAKES))}
    for t in range(1, 4):
        g = torch.randn(5, generator=generator, dtype=torch.float64)
        out = call(answer, given[0].clone(), g.clone(), given[1], given[2], t, lr, betas, eps)
        if not isinstance(out, tuple | list) or len(out) != 3:
            raise Wrong("Return the three new values (x, m, v), in this order.")
        reference = _adasgd(reference[0], g, *reference[1:], t, lr, betas, eps)
        for number, (mistake, _) in enumerate(_ADASGD_MISTAKES):
            state = mistakes[number]
            mistakes[number] = _adasgd(state[0], g, *state[1:], t, lr, betas, eps, **mistake)
        moved = as_tensor(out[0], x, "The new x")
        if not torch.allclose(moved, reference[0], rtol=1e-6, atol=1e-9):
            for number, (_, message) in enumerate(_ADASGD_MISTAKES):
                if torch.allclose(moved, mistakes[number][0], rtol=1e-6, atol=1e-9):
                    raise Wrong(message)
            raise Wrong(f"x is off after step t = {t}; compare your lines with the table above.")
        try:
            v = torch.as_tensor(out[2], dtype=x.dtype)
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(f"v should be one number, and it is a {type(out[2]).__name__}.") from None
        if v.numel() != 1:
            raise Wrong("v should be one number for all coordinates.")
        given = (moved, as_tensor(out[1], x, "The new m"), v.detach().reshape(()))
    return "And it remembers the right m and v: three steps in a row agree."


@exercise("1.3")
def rotated_sign_step(answer):
    """`step(theta, g, Q, lr) -> theta`: sign descent in the coordinates w = Qθ."""
    generator = torch.Generator().manual_seed(13)
    for d in (2, 5):
        q, r = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
        q = q * r.diagonal().sign()
        theta = torch.randn(d, generator=generator, dtype=torch.float64)
        g, lr = torch.randn(d, generator=generator, dtype=torch.float64), 0.1
        got = as_tensor(call(answer, theta.clone(), g.clone(), q.clone(), lr), theta)
        if torch.allclose(got, theta - lr * q.T @ (q @ g).sign()):
            continue
        mistakes = (
            (theta - lr * g.sign(), "Nothing is rotated here: that is plain sign descent."),
            (theta - lr * (q @ g).sign(), "The step is still in w's coordinates: rotate it back."),
            (
                theta - lr * q @ (q.T @ g).sign(),
                "The rotation is applied the wrong way round: w = Qθ, so the gradient for w is Qg.",
            ),
            (theta + lr * q.T @ (q @ g).sign(), "The step goes up the slope: its sign is flipped."),
            (q @ theta - lr * (q @ g).sign(), "That is the new w; the new θ = Qᵀw is asked for."),
            (theta - lr * g, "The sign is missing: this is gradient descent."),
        )
        recognise(got, mistakes, atol=1e-8)
        raise Wrong(f"In dimension {d}: write w = Qθ, take the sign step in w, and come back.")
    return "Try the same with plain gradient descent: Q disappears from the result."
