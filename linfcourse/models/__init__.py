"""What the course trains: a small GPT, a ResNet-18, a two-layer linear network, quadratics."""

from linfcourse.models.box_quadratic import BoxQuadratic, box_minimiser, box_quadratic
from linfcourse.models.example_hessians import (
    example_hessians,
    heavy_tailed_rows,
    random_psd,
    rank_one,
)
from linfcourse.models.gpt import GPT, GPTConfig
from linfcourse.models.lean_loss import lean_loss
from linfcourse.models.losses import cross_entropy
from linfcourse.models.quadratics import (
    Quadratic,
    RotationFamily,
    hard_spectrum,
    narrow_valley,
    rotation_family,
)
from linfcourse.models.resnet import ResNet18, resnet18
from linfcourse.models.two_layer_linear import TwoLayerLinear, two_layer_linear_problem

__all__ = [
    "GPT",
    "BoxQuadratic",
    "GPTConfig",
    "Quadratic",
    "ResNet18",
    "RotationFamily",
    "TwoLayerLinear",
    "box_minimiser",
    "box_quadratic",
    "cross_entropy",
    "example_hessians",
    "hard_spectrum",
    "heavy_tailed_rows",
    "lean_loss",
    "narrow_valley",
    "random_psd",
    "rank_one",
    "resnet18",
    "rotation_family",
    "two_layer_linear_problem",
]
