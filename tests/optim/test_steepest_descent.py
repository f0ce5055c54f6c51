"""Steepest descent against its formula, torch's SGD and Muon, and its exact symmetries."""

import copy
import io
import pickle

import pytest
import torch

from linfcourse.norms import L1, L2, Blockwise, LInf, Norm, Spectral
from linfcourse.optim import _chunks
from linfcourse.optim.steepest_descent import NormalizedSGD, SignSGD, Signum, SteepestDescent
from linfcourse.partitions import adam_mini, from_ids, per_row, per_tensor, whole

NORMS = [L1(), L2(), LInf(), Spectral(), Spectral("newton_schulz"), Blockwise(per_row)]
every_norm = pytest.mark.parametrize("norm", NORMS, ids=repr)


def parameters(dtype=torch.float64, shapes=((4, 3), (5,), (), (2, 3, 2, 2), (0, 2))):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]


def gradients(params, steps, seed=1):
    """Set gradients of steps steps in turn; they lean on the parameters, so errors would build."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.grad = (noise + p.detach()).to(p.dtype)
        yield


def run(optimizer, params, steps=20, seed=1):
    for _ in gradients(params, steps, seed):
        optimizer.step()
    return [p.detach().clone() for p in params]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@every_norm
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_step_is_the_formula(norm, momentum, nesterov, maximize):
    params = parameters()
    options = {"momentum": momentum, "nesterov": nesterov, "maximize": maximize}
    optimizer = SteepestDescent(params, lr=0.1, norm=norm, weight_decay=0.3, **options)
    x, m = [p.detach().clone() for p in params], [torch.zeros_like(p) for p in params]
    for _ in gradients(params, 10):
        for i, p in enumerate(params):
            g = -p.grad if maximize else p.grad
            m[i] = momentum * m[i] + (1 - momentum) * g
            ahead = momentum * m[i] + (1 - momentum) * g if nesterov else m[i]
            x[i] = (1 - 0.3 * 0.1) * x[i] + 0.1 * norm.lmo(ahead)
        optimizer.step()
        for p, expected in zip(params, x, strict=True):
            torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-9)


@every_norm
def test_lr_is_the_distance_of_a_step_in_the_norm(norm):
    if norm == Spectral("newton_schulz"):
        pytest.skip("its steps are of rough length by design")
    params = parameters()[:4]
    before = [p.detach().clone() for p in params]
    run(SteepestDescent(params, lr=0.25, norm=norm), params, 1)
    for p, start in zip(params, before, strict=True):
        assert float(norm(p.detach() - start)) == pytest.approx(0.25, rel=1e-12)


def test_normalized_sgd_is_sgd_with_lr_over_the_gradient_norm():
    ours, theirs = parameters(), parameters()
    mine, sgd = NormalizedSGD(ours, lr=0.1), torch.optim.SGD(theirs, lr=0.1)
    for _ in zip(gradients(ours, 30), gradients(theirs, 30), strict=True):
        total = torch.nn.utils.get_total_norm([p.grad for p in theirs])
        sgd.param_groups[0]["lr"] = 0.1 / total.item()
        mine.step(), sgd.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)


def test_normalized_sgd_with_momentum_is_sgd_with_dampening():
    ours, theirs = parameters(), parameters()
    mine = NormalizedSGD(ours, lr=0.1, momentum=0.9)
    average = torch.optim.SGD(theirs, lr=0.0, momentum=0.9)  # for its buffer: b ← μb + g
    for _ in zip(gradients(ours, 30), gradients(theirs, 30), strict=True):
        average.step()
        with torch.no_grad():
            buffers = [average.state[q]["momentum_buffer"] for q in theirs]
            total = torch.cat([b.flatten() for b in buffers]).norm()
            for q, b in zip(theirs, buffers, strict=True):
                q -= 0.1 * b / total
        mine.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-12)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (10, 10)], ids=str)
@pytest.mark.parametrize("nesterov", [False, True])
def test_newton_schulz_descent_is_muon_within_muons_own_rounding(shape, nesterov):
    """Muon iterates in bfloat16, where one step is off by about 1 %; the path must stay as near."""
    (p,), (q,) = parameters(torch.float32, (shape,)), parameters(torch.float32, (shape,))
    options = {"momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov}
    muon = torch.optim.Muon([q], lr=0.02, adjust_lr_fn="match_rms_adamw", **options)
    # Muon decays by its lr, but moves by an adjusted lr: put the ratio into both
    ratio = 0.2 * max(shape) ** 0.5
    options["weight_decay"] = 0.1 / ratio
    norm = Spectral("newton_schulz")
    mine = SteepestDescent([p], lr=0.02 * ratio, norm=norm, **options)
    start, steps = p.detach().clone(), 20
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        p.grad = torch.randn(shape, generator=generator)
        q.grad = p.grad.clone()
        mine.step(), muon.step()
    assert (p - q).norm() < 0.02 * (q - start).norm()


@pytest.mark.parametrize("make", [SignSGD, Signum], ids=lambda c: c.__name__)
def test_sign_descent_commutes_with_signed_permutations(make):
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(50, generator=generator)
    signs = torch.randint(0, 2, (50,), generator=generator) * 2.0 - 1.0
    matrix = torch.randn(50, 50, generator=generator)
    p = torch.nn.Parameter(torch.randn(50, generator=generator))
    q = torch.nn.Parameter(signs * p.detach()[order])
    first, second = make([p], 1e-2, weight_decay=0.1), make([q], 1e-2, weight_decay=0.1)
    for _ in range(50):
        p.grad = matrix @ p.detach()
        q.grad = signs * p.grad[order]
        first.step(), second.step()
        assert torch.equal(q.detach(), signs * p.detach()[order])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_normalized_sgd_commutes_with_rotations(momentum):
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64))[0]
    matrix = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    x = torch.randn(20, generator=generator, dtype=torch.float64)
    p, q = torch.nn.Parameter(x), torch.nn.Parameter(rotation @ x)
    first = NormalizedSGD([p], 0.05, momentum=momentum, weight_decay=0.1)
    second = NormalizedSGD([q], 0.05, momentum=momentum, weight_decay=0.1)
    for _ in range(50):
        p.grad = matrix.T @ (matrix @ p.detach())
        q.grad = rotation @ (matrix.T @ (matrix @ (rotation.T @ q.detach())))
        first.step(), second.step()
        torch.testing.assert_close(q, rotation @ p, rtol=1e-11, atol=1e-11)


def test_sign_descent_does_not_commute_with_rotations():
    p, q = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    p.grad = torch.tensor([1.0, 0.1])
    q.grad = rotation @ p.grad
    SignSGD([p], 0.1).step(), SignSGD([q], 0.1).step()
    assert (q - rotation @ p).abs().max() > 0.01


@pytest.mark.parametrize("norm", [LInf(), L2(), L1(), Blockwise(whole)], ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_joint_descent_is_descent_on_the_concatenated_vector(norm, momentum):
    params = parameters()
    flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in params]))
    options = {"norm": norm, "momentum": momentum, "weight_decay": 0.2}
    joint = SteepestDescent(params, 0.1, joint=True, **options)
    single = SteepestDescent([flat], 0.1, **options)
    for _ in gradients(params, 20):
        flat.grad = torch.cat([p.grad.flatten() for p in params])
        joint.step(), single.step()
        together = torch.cat([p.detach().flatten() for p in params])
        torch.testing.assert_close(together, flat.detach(), rtol=1e-12, atol=1e-12)


def test_blocks_that_span_tensors_need_the_joint_norm():
    p, q = parameters(shapes=((2, 3), (2,)))
    ids = {p: torch.tensor([[0, 0, 0], [1, 1, 1]]), q: torch.tensor([0, 1])}
    start = torch.cat([p.detach(), q.detach().unsqueeze(1)], dim=1)
    optimizer = SteepestDescent([p, q], 0.1, Blockwise(from_ids(ids)), joint=True)
    run(optimizer, [p, q], 1)
    rows = torch.cat([p.grad, q.grad.unsqueeze(1)], dim=1)
    moved = torch.cat([p.detach(), q.detach().unsqueeze(1)], dim=1) - start
    torch.testing.assert_close(moved, -0.1 * 2 * rows / rows.norm(dim=1, keepdim=True))


def test_joint_blocks_count_parameters_without_a_gradient():
    p, q = torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.ones(12))
    ids = {p: torch.tensor([0, 1, 0, 1]), q: torch.zeros(12, dtype=torch.int64)}
    p.grad = torch.tensor([3.0, 0.0, 4.0, -2.0])
    optimizer = SteepestDescent([q, p], 1.0, Blockwise(from_ids(ids)), weight_decay=0.1, joint=True)
    optimizer.step()
    first, second = -(14**0.5) / 5, 2**0.5  # blocks of 14 and of 2 coordinates
    torch.testing.assert_close(p.detach(), torch.tensor([3 * first, 0.0, 4 * first, second]))
    assert torch.equal(q, torch.ones(12))


def test_groups_share_a_joint_direction_and_keep_their_lr_and_decay():
    p, q = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    groups = [{"params": [p]}, {"params": [q], "lr": 0.5, "weight_decay": 1.0}]
    optimizer = NormalizedSGD(groups, lr=0.1)
    p.grad, q.grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([1 - 0.1 * 0.6]))
    torch.testing.assert_close(q.detach(), torch.tensor([0.5 - 0.5 * 0.8]))


def test_a_group_may_have_a_norm_of_its_own():
    p, q, r = parameters(shapes=((4, 3), (4, 3), (2, 2)))
    groups = [{"params": [p]}, {"params": [q], "norm": LInf()}]
    optimizer = SteepestDescent(groups, 0.1, Spectral())
    optimizer.add_param_group({"params": [r], "norm": L1(), "lr": 1.0})
    starts = [t.detach().clone() for t in (p, q, r)]
    for twin in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert all("norm" not in group for group in twin.param_groups)
        tensors = [t for group in twin.param_groups for t in group["params"]]
        with torch.no_grad():
            for t, start in zip(tensors, starts, strict=True):
                t.copy_(start)
        run(twin, tensors, 1)
        steps = [t.detach() - start for t, start in zip(tensors, starts, strict=True)]
        lengths = [Spectral()(steps[0]), LInf()(steps[1]), L1()(steps[2])]
        assert [float(v) for v in lengths] == pytest.approx([0.1, 0.1, 1.0])
        assert int((steps[2] != 0).sum()) == 1
    assert "norm" in groups[1], "the caller's dict is not changed"


def test_blockwise_takes_labels_rules_and_models():
    model = torch.nn.Linear(3, 4, dtype=torch.float64)
    rows = torch.arange(4).unsqueeze(1).expand(4, 3)
    results = []
    for blocks in (rows, per_row, adam_mini(model)):
        p = model.weight
        with torch.no_grad():
            p.fill_(1.0)
        p.grad = torch.arange(12, dtype=torch.float64).reshape(4, 3) - 5
        SteepestDescent([p], 0.1, Blockwise(blocks)).step()
        results.append(p.detach().clone())
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_walking_in_pieces_changes_no_bit(monkeypatch, dtype, momentum, nesterov):
    results = []
    for chunk in (64, 10_000):
        monkeypatch.setattr(_chunks, "CHUNK", chunk)
        params = parameters(dtype, ((33, 17), (300,), ()))
        options = {"momentum": momentum, "weight_decay": 0.1, "nesterov": nesterov}
        results.append(run(SteepestDescent(params, 0.01, maximize=True, **options), params))
    assert_same(*results)


@every_norm
def test_strides_of_parameter_and_gradient_do_not_matter(monkeypatch, norm):
    monkeypatch.setattr(_chunks, "CHUNK", 16)
    ours = [torch.nn.Parameter(torch.ones(8, 6).T), torch.nn.Parameter(torch.ones(12, 6)[::2])]
    theirs = [torch.nn.Parameter(p.detach().clone().contiguous()) for p in ours]
    mine, reference = (SteepestDescent(ps, 0.1, norm, 0.9, 0.1) for ps in (ours, theirs))
    for _ in zip(gradients(ours, 5), gradients(theirs, 5), strict=True):
        mine.step(), reference.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("norm", [L1(), L2(), LInf(), Spectral(), Blockwise(per_tensor)], ids=repr)
def test_complex_parameters_are_pairs_of_reals(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    z = torch.nn.Parameter(torch.complex(*parameters(shapes=((3, 2), (3, 2)))))
    w = torch.nn.Parameter(torch.view_as_real(z.detach()).clone())
    first = SteepestDescent([z], 0.1, norm, 0.9, 0.1, joint)
    second = SteepestDescent([w], 0.1, norm, 0.9, 0.1, joint)
    for _ in gradients([w], 10):
        z.grad = torch.view_as_complex(w.grad.clone())
        first.step(), second.step()
    torch.testing.assert_close(torch.view_as_real(z), w)


@every_norm
@pytest.mark.parametrize("joint", [False, True])
def test_a_checkpoint_goes_on_bit_for_bit(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    ours = parameters(torch.float32)
    first = SteepestDescent(ours, torch.tensor(0.1), norm, 0.9, 0.1, joint)
    run(first, ours, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    second = SteepestDescent(theirs, 7.0, norm, joint=joint)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert_same(run(first, ours, 3, 2), run(second, theirs, 3, 2))


@every_norm
def test_copies_and_pickles_go_on_bit_for_bit(norm):
    params = parameters(torch.float32)
    optimizer = SteepestDescent(params, 0.1, norm, 0.9, 0.1)
    run(optimizer, params, 3)
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    expected = run(optimizer, params, 3, 2)
    for twin in twins:
        assert twin.norm == norm and type(twin) is SteepestDescent
        assert_same(run(twin, twin.param_groups[0]["params"], 3, 2), expected)


@every_norm
@pytest.mark.parametrize("joint", [False, True])
def test_gradients_are_left_as_they_are(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    params = parameters()
    optimizer = SteepestDescent(params, 0.1, norm, 0.9, 0.1, joint, nesterov=True, maximize=True)
    for _ in gradients(params, 2):
        before = [p.grad.clone() for p in params]
        optimizer.step()
        assert_same([p.grad for p in params], before)


def test_a_cycled_momentum_starts_and_stops_averaging():
    params = parameters()
    optimizer = SignSGD(params, 0.1)
    run(optimizer, params, 1)
    assert not optimizer.state
    optimizer.param_groups[0]["momentum"] = 0.5
    run(optimizer, params, 2)
    optimizer.param_groups[0]["momentum"] = 0.0
    run(optimizer, params, 1)
    for p in params:
        assert torch.equal(optimizer.state[p]["momentum_buffer"], p.grad)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5)


@pytest.mark.parametrize("make", [SignSGD, NormalizedSGD], ids=lambda c: c.__name__)
def test_a_gradient_that_is_not_finite_is_not_hidden(make):
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([1.0, float("nan")])
    make([p], 0.5).step()
    assert torch.isnan(p[1])


@pytest.mark.parametrize("method", ["svd", "newton_schulz"])
def test_spectral_descent_refuses_what_is_not_finite_before_anything_changes(method):
    p, q = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3, 2))
    optimizer = SteepestDescent([p, q], 0.1, Spectral(method), momentum=0.9)
    p.grad, q.grad = torch.ones(2, 2), torch.full((3, 2), float("nan"))
    with pytest.raises(ValueError, match=r"gradient of a parameter of shape \(3, 2\) has NaN"):
        optimizer.step()
    assert torch.equal(p, torch.ones(2, 2)) and not optimizer.state


@pytest.mark.parametrize("joint", [False, True])
def test_a_sparse_gradient_is_refused_before_anything_changes(joint):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    p.grad, q.grad = torch.ones(2), torch.ones(3).to_sparse()
    optimizer = SteepestDescent({"p": p, "q": q}.items(), 0.1, L2(), 0.9, joint=joint)
    with pytest.raises(TypeError, match=r"'q' of shape .* is sparse"):
        optimizer.step()
    assert torch.equal(p, torch.ones(2)) and not optimizer.state


@pytest.mark.parametrize("joint", [False, True])
def test_a_step_without_gradients_does_nothing(joint):
    (p,) = parameters(shapes=((3,),))
    before = p.detach().clone()
    optimizer = SteepestDescent([p], 0.1, L2(), 0.9, 0.1, joint)
    assert optimizer.step() is None and optimizer.step(lambda: 3.0) == 3.0
    assert torch.equal(p, before) and not optimizer.state


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"lr": float("nan")}, ValueError, "lr must be"),
        ({"lr": torch.ones(2)}, ValueError, "one element"),
        ({"lr": None}, TypeError, "lr must be a number"),
        ({"momentum": 1.0}, ValueError, r"momentum must be in \[0, 1\)"),
        ({"momentum": -0.1}, ValueError, "momentum must be"),
        ({"weight_decay": float("inf")}, ValueError, "weight_decay must be"),
        ({"norm": LInf}, TypeError, r"not the class LInf: LInf\(\)"),
        ({"norm": "l2"}, TypeError, "object of linfcourse.norms"),
        ({"norm": torch.linalg.vector_norm}, TypeError, "object of linfcourse.norms"),
        ({"norm": Blockwise(torch.zeros(3, dtype=torch.int64))}, ValueError, "one label for each"),
        ({"nesterov": 1}, TypeError, "nesterov must be True or False"),
        ({"maximize": "yes"}, TypeError, "maximize must be True or False"),
    ],
)
def test_bad_arguments_are_refused_in_words(options, error, words):
    p = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(error, match=words):
        SteepestDescent([p], **{"lr": 0.1, **options})
    optimizer = SteepestDescent([p], 0.1)
    with pytest.raises(error, match=words):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], **options})
    p.grad = torch.ones(2)
    optimizer.step()  # as if nothing had been said
    assert len(optimizer.param_groups) == 1 and torch.equal(p, torch.full((2,), 0.9))


def test_joint_norms_that_make_no_sense_are_refused_in_words():
    p, q = parameters(shapes=((2, 2), (3,)))
    with pytest.raises(ValueError, match="no singular values"):
        SteepestDescent([p], 0.1, Spectral(), joint=True)
    with pytest.raises(TypeError, match="joint must be True or False"):
        SteepestDescent([p], 0.1, joint=1)
    with pytest.raises(ValueError, match="share one norm"):
        SteepestDescent([{"params": [p], "norm": L1()}], 0.1, L2(), joint=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 0])
    optimizer = SteepestDescent([p, q], 0.1, Blockwise(labels), joint=True)
    run(optimizer, [p, q], 2)
    with pytest.raises(ValueError, match="one label for each"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    run(optimizer, [p, q], 2)


def test_a_norm_of_ones_own_can_be_descended_in():
    class Halved(Norm):
        def lmo(self, g):
            return 0.5 * LInf().lmo(g)

    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([1.0, -2.0])
    SteepestDescent([p], 1.0, Halved()).step()
    assert p.tolist() == [-0.5, 0.5]
