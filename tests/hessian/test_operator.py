"""HessianOperator against finite differences, torch's double backward, and bad input."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linfcourse.hessian import DenseOperator, HessianOperator
from linfcourse.models import GPT, GPTConfig
from linfcourse.rotations import Hadamard


def mlp():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 3))
    x, y = torch.randn(9, 5, dtype=torch.float64), torch.randint(3, (9,))
    return model.double(), lambda m: F.cross_entropy(m(x), y)


def convnet():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.Flatten(), nn.Linear(48, 4)
    )
    x, y = torch.randn(6, 1, 6, 6, dtype=torch.float64), torch.randint(4, (6,))
    return model.double(), lambda m: F.cross_entropy(m(x), y)


def gpt():
    torch.manual_seed(2)
    model = GPT(GPTConfig(vocab_size=12, context=8, n_layer=1, n_head=2, width=8)).double()
    tokens, targets = torch.randint(12, (3, 8)), torch.randint(12, (3, 8))
    return model, lambda m: m.loss(tokens, targets)


def central_difference(model, loss, vector, step=1e-5):
    """(∇L(x + hv) − ∇L(x − hv))/2h: knows nothing of second derivatives."""
    params = list(model.parameters())
    start = [p.detach().clone() for p in params]
    pieces = vector.split([p.numel() for p in params])
    gradients = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, s, v in zip(params, start, pieces, strict=True):
                p.copy_(s + sign * step * v.view_as(p))
        grads = torch.autograd.grad(loss(model), params)
        gradients.append(torch.cat([g.flatten() for g in grads]))
    with torch.no_grad():
        for p, s in zip(params, start, strict=True):
            p.copy_(s)
    return (gradients[0] - gradients[1]) / (2 * step)


@pytest.mark.parametrize("make", [mlp, convnet, gpt])
def test_product_is_the_derivative_of_the_gradient_through_layernorm_and_batchnorm(make):
    model, loss = make()
    op = HessianOperator(loss(model), model.parameters())
    vectors = torch.randn(op.dim, 3, dtype=torch.float64)
    products = op.matmat(vectors)
    assert op.symmetry_error(generator=torch.Generator().manual_seed(0)) < 1e-12
    for vector, product in zip(vectors.T, products.T, strict=True):
        expected = central_difference(model, loss, vector)
        assert (product - expected).norm() <= 1e-6 * expected.norm()


def test_float32_products_agree_with_float64_ones():
    model, loss = gpt()
    double = HessianOperator(loss(model), model.parameters())
    v = torch.randn(double.dim, dtype=torch.float64)
    expected = double @ v
    model = model.float()
    single = HessianOperator(loss(model), model.parameters())
    assert single.dtype == torch.float32 and (single @ v).dtype == torch.float32
    assert ((single @ v).double() - expected).norm() < 1e-4 * expected.norm()


def test_dense_equals_torchs_own_double_backward():
    w = torch.randn(6, requires_grad=True, dtype=torch.float64)
    a = torch.randn(4, 6, dtype=torch.float64)

    def loss(w):
        return (a @ w).tanh().pow(3).sum() + (w.prod() * w.exp().sum())

    expected = torch.autograd.functional.hessian(loss, w.detach())
    torch.testing.assert_close(HessianOperator(loss(w), [w]).dense(), expected)


def test_dense_of_a_quadratic_is_its_matrix_and_blocks_do_not_matter():
    d = 150  # more than two blocks of 64
    matrix = torch.randn(d, d, dtype=torch.float64)
    matrix = matrix + matrix.T
    x = torch.randn(d, dtype=torch.float64, requires_grad=True)
    op = HessianOperator(x @ matrix @ x / 2, [x])
    torch.testing.assert_close(op.dense(), matrix)
    torch.testing.assert_close(op.columns(torch.tensor([3, 149, 3])), matrix[:, [3, 149, 3]])


def test_rows_of_unused_and_of_linear_parameters_are_zero():
    x, unused, linear = (torch.randn(3, requires_grad=True) for _ in range(3))
    dense = HessianOperator((x**3).sum() + linear.sum(), [x, unused, linear]).dense()
    expected = torch.zeros(9, 9)
    expected[:3, :3] = torch.diag(6 * x.detach())
    torch.testing.assert_close(dense, expected)
    assert not HessianOperator(linear.sum(), [linear]).dense().any()


def test_tied_weights_count_once_and_scalars_and_strided_parameters_work():
    scalar = torch.tensor(2.0, requires_grad=True)
    matrix = torch.randn(3, 2).T.requires_grad_()  # not contiguous
    loss = scalar**2 * (matrix**2).sum()
    dense = HessianOperator(loss, [scalar, matrix]).dense()
    flat = matrix.detach().flatten()
    torch.testing.assert_close(dense[0, 0], 2 * (flat**2).sum())
    torch.testing.assert_close(dense[0, 1:], 4 * scalar.item() * flat)
    torch.testing.assert_close(dense[1:, 1:], 2 * scalar.item() ** 2 * torch.eye(6))
    model, _ = gpt()
    assert HessianOperator(gpt()[1](model), model.parameters()).dim == sum(
        p.numel() for p in model.parameters()
    )


def test_batches_are_averaged_also_from_a_generator():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()
    data = [torch.randn(n, 4, dtype=torch.float64) for n in (3, 5, 2)]

    def loss(x):
        return model(x).pow(4).mean()

    mean = HessianOperator(sum(loss(x) for x in data) / 3, model.parameters()).dense()
    op = HessianOperator.from_batches(loss, (x for x in data), model.named_parameters())
    torch.testing.assert_close(op.dense(), mean)
    torch.testing.assert_close(op.dense(), mean)  # the generator was read once and kept
    assert op.names[0] == "0.weight"


def test_operator_from_batches_follows_the_parameters():
    w = torch.tensor([1.0], requires_grad=True)
    op = HessianOperator.from_batches(lambda a: (a * w**3).sum(), [torch.tensor(1.0)], [w])
    assert op.dense().item() == 6
    with torch.no_grad():
        w.fill_(2.0)
    assert op.dense().item() == 12


def test_dropout_is_replayed_so_the_operator_is_one_matrix_and_your_random_numbers_go_on():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    x = torch.randn(2, 10, 6, dtype=torch.float64)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    op = HessianOperator.from_batches(lambda b: model(b).pow(2).mean(), list(x), model.parameters())
    v = torch.randn(op.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first = op @ v
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(op @ v, first)
    assert op.symmetry_error() < 1e-12


def test_only_one_batchs_graph_is_alive_at_a_time():
    alive, most = set(), 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.token = Token()
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    class Token:
        def __init__(self):
            nonlocal most
            alive.add(id(self))
            most = max(most, len(alive))

        def __del__(self):
            alive.discard(id(self))

    w = torch.randn(3, requires_grad=True)
    op = HessianOperator.from_batches(
        lambda a: (Counted.apply(a * w) ** 3).sum(), [torch.randn(3) for _ in range(6)], [w]
    )
    op.matmat(torch.randn(3, 4))
    assert most == 1 and not alive


def test_rotated_is_r_h_r_transposed():
    rotation = Hadamard(seed=3)
    matrix = torch.randn(37, 37, dtype=torch.float64)
    matrix = matrix + matrix.T
    r = rotation(torch.eye(37, dtype=torch.float64)).T  # columns R e_i
    rotated = DenseOperator(matrix).rotated(rotation)
    torch.testing.assert_close(rotated.dense(), r @ matrix @ r.T)
    back = rotated.rotated(Inverse(rotation))
    torch.testing.assert_close(back.dense(), matrix)


class Inverse:
    def __init__(self, rotation):
        self.rotation = rotation

    def __call__(self, x):
        return self.rotation.inverse(x)

    def inverse(self, x):
        return self.rotation(x)


def test_products_work_under_no_grad_and_inference_mode():
    x = torch.randn(3, requires_grad=True)
    data = torch.ones(3)
    op = HessianOperator.from_batches(lambda a: ((a * x) ** 3).sum(), [data], [x])
    expected = op.dense()
    with torch.no_grad():
        assert torch.equal(op.dense(), expected)
    with torch.inference_mode():
        assert torch.equal(op.dense(), expected)


def test_gradients_of_the_user_are_left_alone():
    x = torch.randn(3, requires_grad=True)
    x.grad = torch.ones(3)
    HessianOperator((x**3).sum(), [x]).dense()
    assert torch.equal(x.grad, torch.ones(3))


def attention_loss():
    q = torch.randn(1, 2, 4, 8, requires_grad=True)
    return F.scaled_dot_product_attention(q, q, q).pow(2).sum(), [q]


def test_flash_attention_says_to_use_the_math_backend_and_that_works():
    with pytest.raises(RuntimeError, match=r"sdpa_kernel\(SDPBackend.MATH\)"):
        HessianOperator(*attention_loss()) @ torch.ones(64)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        op = HessianOperator(*attention_loss())
    assert op.symmetry_error() < 1e-4


x1 = torch.ones(2, requires_grad=True)


def square(x=x1):
    return (x**2).sum()


@pytest.mark.parametrize(
    ("loss", "params", "error", "message"),
    [
        (lambda: x1**2, lambda: [x1], ValueError, "scalar"),
        (lambda: square().detach(), lambda: [x1], ValueError, "does not require grad"),
        (lambda: square().item(), lambda: [x1], TypeError, "loss must be a scalar tensor"),
        (lambda: square() / 0, lambda: [x1], ValueError, "finite"),
        (lambda: square().half(), lambda: [x1], TypeError, "float32"),
        (square, list, ValueError, "empty"),
        (square, lambda: [torch.empty(0, requires_grad=True)], ValueError, "empty"),
        (square, lambda: x1, TypeError, r"pass \[tensor\]"),
        (square, lambda: nn.Linear(1, 1), TypeError, "parameters()"),
        (square, lambda: [x1, 3.0], TypeError, r"params\[1\]"),
        (square, lambda: [x1, x1], ValueError, "twice"),
        (square, lambda: [torch.ones(2)], ValueError, "frozen"),
        (square, lambda: [x1 * 2], ValueError, "not a leaf"),
        (square, lambda: [torch.ones(2, requires_grad=True)], ValueError, "depends on none"),
        (square, lambda: [x1, x1.detach().double().requires_grad_()], ValueError, "one dtype"),
        (square, lambda: [torch.ones(2, dtype=torch.cfloat)], TypeError, "float32 or float64"),
        (square, lambda: [torch.ones(2, dtype=torch.bfloat16)], TypeError, "float32 or float64"),
        (square, lambda: [torch.ones(2, dtype=torch.int64)], TypeError, "float32 or float64"),
    ],
)
def test_bad_losses_and_parameters_are_named_with_the_mend(loss, params, error, message):
    with pytest.raises(error, match=message):
        HessianOperator(loss(), params())


def test_bad_batches_are_named():
    for batches, error in (([], ValueError), (torch.ones(2), TypeError), (3, TypeError)):
        with pytest.raises(error, match="batches"):
            HessianOperator.from_batches(lambda b: square(), batches, [x1])
    with pytest.raises(TypeError, match="model_loss"):
        HessianOperator.from_batches(square(), [1], [x1])
    with pytest.raises(ValueError, match=r"model_loss\(batches\[0\]\).*scalar"):
        HessianOperator.from_batches(lambda b: x1, [1], [x1])


def test_bad_vectors_are_named():
    op = HessianOperator(square(), [x1])
    for bad in (torch.ones(3), torch.ones(2, 2, 2), torch.ones(3, 2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="shape"):
            op @ bad
    for bad in (torch.ones(2).half(), torch.ones(2, dtype=torch.int64), [1.0, 1.0]):
        with pytest.raises(TypeError, match="vectors"):
            op @ bad
    with pytest.raises(ValueError, match="shape"):
        op.matmat(torch.ones(2))
    assert op.matmat(torch.ones(2, 0)).shape == (2, 0)
    with pytest.raises(ValueError, match="norm_11"):
        op.dense(max_dim=1)
    with pytest.raises(TypeError, match="inverse"):
        op.rotated(lambda x: x)


def test_autocast_is_refused():
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        HessianOperator(square(), [x1])
    op = HessianOperator(square(), [x1])
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        op @ torch.ones(2)


def test_freed_graphs_changed_parameters_and_sparse_gradients_say_what_to_do():
    w = torch.randn(3, requires_grad=True)
    loss = (w**3).sum()
    loss.backward()
    with pytest.raises(ValueError, match="build the operator before"):
        HessianOperator(loss, [w])
    op = HessianOperator((w**3).sum(), [w])
    with torch.no_grad():
        w.add_(1)
    with pytest.raises(RuntimeError, match="from_batches"):
        op @ torch.ones(3)
    table = nn.Embedding(4, 2, sparse=True)
    with pytest.raises(ValueError, match="sparse=False"):
        HessianOperator(table(torch.tensor([1])).pow(2).sum(), table.parameters())


def test_dense_operator_refuses_what_is_no_symmetric_matrix():
    for bad, message in (
        (torch.ones(2, 3), "square"),
        (torch.tensor([[0.0, 1], [0, 0]]), "symmetric"),
        (torch.full((2, 2), torch.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            DenseOperator(bad)
    for bad in (torch.ones(2, 2).half(), [[1.0]]):
        with pytest.raises(TypeError):
            DenseOperator(bad)


def test_block_of_probes_reuses_one_gradient_graph():
    calls = itertools.count()
    w = torch.randn(4, requires_grad=True)

    def loss(batch):
        next(calls)
        return (w**3).sum()

    op = HessianOperator.from_batches(loss, [0], [w])
    before = next(calls)
    op.matmat(torch.randn(4, 30))
    assert next(calls) - before == 2  # one evaluation between the two counts
