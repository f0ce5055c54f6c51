"""The library under the course "The ℓ∞ Geometry of Adam": optimizers, rotations, Hessian norms."""

__version__ = "0.1.0"
