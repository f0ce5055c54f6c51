"""Right answers of chapter 7, and usual mistakes with words of what is said about them."""

import torch


def off_diagonal(S):
    return (S - torch.diag(S.diagonal())).square().sum()


RIGHT = {
    "7.1": 0.5,
    "7.2": lambda A, B, x: torch.einsum("ij,kl,jl->ik", A, B, x.view(len(A), len(B))).flatten(),
    "7.3": lambda Q, T: Q @ torch.diag(torch.sign(torch.diag(T))),
    "7.4": lambda W, G, Q, lr: Q.T @ (Q @ W - lr * torch.sign(Q @ G)),
    "7.5": lambda S: (2 * off_diagonal(S)).sqrt() / S.trace(),
}
WRONG = [
    ("7.1", 0.25, "mean square"),
    ("7.1", 0.05, "squares share"),
    ("7.1", 0.07, "not the sum of the magnitudes"),
    ("7.1", 5, "length of the whole vector"),
    ("7.1", 1.0, "among how many"),
    ("7.1", "half", "A number is asked for"),
    ("7.2", lambda A, B, x: (A @ x.view(len(A), -1) @ B).flatten(), "from the right as Bᵀ"),
    ("7.2", lambda A, B, x: (A.T @ x.view(len(A), -1) @ B).flatten(), "inverse"),
    ("7.2", lambda A, B, x: torch.kron(B, A) @ x, "B ⊗ A"),
    ("7.2", lambda A, B, x: (A @ x.view(len(B), -1).T @ B.T).flatten(), "row by row: (a, b)"),
    ("7.2", lambda A, B, x: (A @ x.view(len(A), -1)).flatten(), "Only A"),
    ("7.2", lambda A, B, x: (x.view(len(A), -1) @ B.T).flatten(), "Only B"),
    ("7.2", lambda A, B, x: x, "differs from torch.kron"),
    ("7.2", lambda A, B, x: A, "should have shape"),
    ("7.2", lambda A, B, x: A @ x, "raised RuntimeError"),
    ("7.2", 1.0, "should be a function"),
    ("7.3", lambda Q, T: Q, "unchanged"),
    ("7.3", lambda Q, T: torch.diag(T.diagonal().sign()) @ Q, "these are its rows"),
    ("7.3", lambda Q, T: Q * T.diagonal(), "no longer orthogonal"),
    ("7.3", lambda Q, T: -Q * T.diagonal().sign(), "wrong way round"),
    ("7.3", lambda Q, T: Q * Q.diagonal().sign(), "not of Q's"),
    ("7.3", lambda Q, T: Q @ Q, "Which D"),
    ("7.4", lambda W, G, Q, lr: W - lr * G.sign(), "plain sign descent"),
    ("7.4", lambda W, G, Q, lr: W - lr * (Q @ G).sign(), "rotate it back"),
    ("7.4", lambda W, G, Q, lr: W - lr * Q @ (Q.T @ G).sign(), "gradient for V is QG"),
    ("7.4", lambda W, G, Q, lr: W + lr * Q.T @ (Q @ G).sign(), "up the slope"),
    ("7.4", lambda W, G, Q, lr: Q @ W - lr * (Q @ G).sign(), "the new V"),
    ("7.4", lambda W, G, Q, lr: W - lr * (G @ Q.T).sign() @ Q, "rotates the inputs"),
    ("7.4", lambda W, G, Q, lr: W, "step in V"),
    ("7.5", lambda S: (2 * S.square().sum()).sqrt() / S.trace(), "diagonal does not count"),
    ("7.5", lambda S: off_diagonal(S).sqrt() / S.trace(), "occurs twice"),
    ("7.5", lambda S: 2 * off_diagonal(S) / S.trace() ** 2, "That is the variance"),
    ("7.5", lambda S: (2 * off_diagonal(S)).sqrt(), "Relative to the mean"),
    ("7.5", lambda S: len(S) * (2 * off_diagonal(S)).sqrt() / S.trace(), "factor 1/d"),
    ("7.5", lambda S: 0.3, "a dense S"),
]
