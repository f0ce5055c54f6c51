"""Norms with their duals and their linear minimisation oracles: a geometry to descend in.

A norm ‖·‖ fixes what one step of unit length is, and with it the direction in which a linear
function falls fastest. For a gradient g,

    dual(g) = ‖g‖_* = max_{‖s‖ ≤ 1} ⟨g, s⟩,        lmo(g) ∈ argmin_{‖s‖ ≤ 1} ⟨g, s⟩,

so that ⟨g, lmo(g)⟩ = −‖g‖_*. The oracle (LMO) of ℓ∞ is the sign, that of ℓ2 the normalised
gradient, that of ℓ1 the largest coordinate alone and that of the spectral norm the polar factor.

Conventions that all norms share:

- A norm sees its tensor as one vector, whatever the shape, except ``Spectral``. A complex tensor
  stands for its pairs of reals, ``torch.view_as_real(x)``.
- Where the gradient (or a block of it) is zero every point of the ball is a minimiser; lmo is 0.
- Values of half-precision tensors are computed and returned in float32. Squares neither overflow
  nor underflow: tensors are scaled by their largest entry first.
- A NaN or infinite entry makes the norm NaN or infinite, and lmo NaN at least at that entry. A
  bare sign would turn NaN into "do not move" and hide it. ``Spectral.lmo`` raises instead.
"""

from linfcourse.norms.base import Norm
from linfcourse.norms.blockwise import Blockwise
from linfcourse.norms.spectral import Spectral
from linfcourse.norms.vector import L1, L2, LInf

__all__ = ["L1", "L2", "Blockwise", "LInf", "Norm", "Spectral"]
