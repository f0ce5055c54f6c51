"""Random orthogonal maps for any dimension, exact and structured.

`R(x)` and `R.inverse(x)` act on the last dimension of a tensor of shape (..., d):

- `Hadamard`: fast, O(d log d), for up to billions of coordinates: the one to use;
- `Haar`: uniform, by a dense matrix: the reference, for d up to 16,384;
- `PermutedKronecker`: the paper's, O(d^{4/3});
- `Identity`, `SignedPermutation`, `Explicit`: known exactly, for controls and tests.
"""

from linfcourse.rotations.base import Rotation
from linfcourse.rotations.exact import Explicit, Identity, SignedPermutation
from linfcourse.rotations.haar import Haar
from linfcourse.rotations.hadamard import Hadamard
from linfcourse.rotations.kronecker import PermutedKronecker

__all__ = [
    "Explicit",
    "Haar",
    "Hadamard",
    "Identity",
    "PermutedKronecker",
    "Rotation",
    "SignedPermutation",
]
