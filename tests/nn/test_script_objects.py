"""What other people's scripts do with shapes, grad_fn and factory arguments, as in PyTorch."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.incoming import Size
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")


def test_parts_and_sums_of_sizes_are_sizes() -> None:
    for kind, s in ((Size, mg.ones(2, 3, 4).shape), (torch.Size, torch.ones(2, 3, 4).shape)):
        for made, plain in (
            (s[1:], (3, 4)), (s[::-2], (4, 2)), (s[:0], ()), (s + (1,), (2, 3, 4, 1)),
            ((1, *()) + s, (1, 2, 3, 4)), (s + s[:1], (2, 3, 4, 2)), (s * 2, (2, 3, 4) * 2),
            (2 * s, (2, 3, 4) * 2),
        ):  # fmt: skip
            assert type(made) is kind and made == plain
            assert made.numel() == np.prod(plain)
        assert type(s[-1]) is int and s[-1] == 4
        with pytest.raises(TypeError):
            s + [1]
        with pytest.raises(TypeError):
            s * 1.5
        with pytest.raises(IndexError):
            s[3]
    np.testing.assert_array_equal(mg.ones(2, 3).shape + np.array([1, 1]), [3, 4])
    assert mg.Tensor(mg.ones(5, 2, 3).shape[1:]).shape == (2, 3)


def graph(fn: Any) -> Any:
    """The shape of a graph: what each function goes back to, without constants."""
    return [(graph(other), i) for other, i in fn.next_functions if other is not None]


def test_grad_fn_shows_the_graph() -> None:
    found = []
    for m in (mg, torch):
        x = m.ones(2, 3, requires_grad=True)
        z = x * 2
        y = (z.exp() + z).sum()
        found.append((graph(y.grad_fn), x.grad_fn))
        fn = y.grad_fn
        assert fn is y.grad_fn and fn is not fn.next_functions[0][0]
        product = fn.next_functions[0][0]
        through = product.next_functions[0][0]
        # what two operations go back to is one, also by its id, which drawers of graphs take
        shared = through.next_functions[0][0]
        assert shared is product.next_functions[1][0]
    assert found[0] == found[1]
    x = mg.ones(2, requires_grad=True)
    y = (x * 2).exp()
    assert y.grad_fn is not None
    (mul, place), *_ = y.grad_fn.next_functions
    assert (y.grad_fn.name(), repr(mul), place) == ("exp", "<mul>", 0)
    y.sum().backward()
    assert y.grad_fn is None or y.grad_fn.next_functions == ()


MADE: dict[str, tuple[Any, ...]] = {
    "AdaptiveLogSoftmaxWithLoss": (8, 5, [2]), "Bilinear": (2, 3, 4), "Embedding": (4, 2),
    "EmbeddingBag": (4, 2), "GroupNorm": (2, 4), "MultiheadAttention": (4, 2), "PReLU": (),
    "Transformer": (4, 2, 1, 1, 4), "TransformerDecoderLayer": (4, 2, 4),
    "TransformerEncoderLayer": (4, 2, 4), "LazyLinear": (2,),
    "LazyBatchNorm1d": (), "LazyBatchNorm2d": (), "LazyBatchNorm3d": (), "BatchNorm1d": (4,),
    "BatchNorm2d": (4,), "BatchNorm3d": (4,), "InstanceNorm1d": (4,), "InstanceNorm2d": (4,),
    "InstanceNorm3d": (4,), "SyncBatchNorm": (4,), "LayerNorm": (4,), "RMSNorm": (4,),
}  # fmt: skip
THEIRS = [
    name
    for name in nn.__all__
    if inspect.isclass(cls := getattr(torch.nn, name, None))
    and ("device" in inspect.signature(cls).parameters or name in ("RNN", "LSTM", "GRU"))
]


def test_as_many_layers_as_pytorch_has_take_a_device() -> None:
    assert len(THEIRS) > 35


@pytest.mark.parametrize("name", THEIRS)
def test_device_and_dtype_of_layers(name: str) -> None:
    sizes = (2, 2) if "Conv" in name and "Lazy" in name else (4, 4, 1) if "Conv" in name else (4, 4)
    args = MADE.get(name, sizes)
    cls = getattr(nn, name)
    layer = cls(*args, device="cpu", dtype=mg.float64)
    floats = [x.dtype for x in layer.parameters()]
    floats += [x.dtype for x in layer.buffers() if x.dtype.kind == "f"]
    assert {*floats} <= {mg.float64} and (floats or "affine" in inspect.signature(cls).parameters)
    own = inspect.signature(cls).parameters
    assert list(own).index("dtype") == list(own).index("device") + 1
    with pytest.raises(RuntimeError, match=": device must be 'cpu', the only"):
        cls(*args, device="cuda")


def test_sync_batch_norm_has_one_group() -> None:
    with pytest.raises(ValueError, match="SyncBatchNorm: there is one group"):
        nn.SyncBatchNorm(2, 1e-5, 0.1, True, True, "some ranks")
    bn = nn.BatchNorm1d(2, affine=False, dtype=mg.float64)
    made = nn.SyncBatchNorm.convert_sync_batchnorm(bn)
    assert made.running_mean is bn.running_mean


E, HEADS, L, S, N = 6, 2, 3, 5, 2


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_forward(
    apart: bool, batched: bool, more: bool, need_weights: bool
) -> None:
    rng = np.random.default_rng(0)
    draw = rng.standard_normal
    k_width, v_width = (4, 7) if apart else (E, E)
    widths = ((L, E), (S, k_width), (S, v_width))
    qkv = [draw((n, N, size) if batched else (n, size)) for n, size in widths]
    joint = None if apart else draw((3 * E, E))
    own = [draw((E, size)) for size in (E, k_width, v_width)] if apart else [None] * 3
    tensors = [*qkv, joint, draw(3 * E), draw((1, 1, E)) if more else None,
               draw((1, 1, E)) if more else None, draw((E, E)), draw(E), *own]  # fmt: skip
    mask = np.triu(np.ones((L, S), bool), 2)
    padding = np.zeros((N, S) if batched else (S,), bool)
    padding[..., -1] = True
    g, gw = draw((L, N, E) if batched else (L, E)), draw((N, L, S + 2 * more))
    found = []
    for m in (mg, torch):
        given = [None if a is None else m.from_numpy(a.copy()) for a in tensors]
        for x in given:
            if x is not None:
                x.requires_grad_()
        q, k, v, w, b, bk, bv, ow, ob, *three = given
        y, weights = m.nn.functional.multi_head_attention_forward(
            q, k, v, E, HEADS, w, b, bk, bv, more, 0.5, ow, ob, training=False,
            key_padding_mask=m.from_numpy(padding), need_weights=need_weights,
            attn_mask=m.from_numpy(mask) if need_weights else None,
            use_separate_proj_weight=apart, q_proj_weight=three[0], k_proj_weight=three[1],
            v_proj_weight=three[2],
        )  # fmt: skip
        loss = (y * m.from_numpy(g)).sum()
        if need_weights:
            loss = loss + (weights * m.from_numpy(gw if batched else gw[0])).sum()
        else:
            assert weights is None
        loss.backward()
        found.append([y.detach().numpy(), *(x.grad.numpy() for x in given if x is not None)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


X, W = mg.ones(L, N, E), mg.ones(E, E)
REST: Any = (None, None, None, False, 0.0, W, None)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: F.multi_head_attention_forward(X, X, X, E, 4, None, *REST), ValueError,
         "E=6 does not divide among num_heads=4"),
        (lambda: F.multi_head_attention_forward(X, X, X, E, 2, None, *REST), TypeError,
         "in_proj_weight must be a Tensor, got NoneType"),
        (lambda: F.multi_head_attention_forward(
            X, X, X, E, 2, None, *REST, use_separate_proj_weight=True, q_proj_weight=W,
            v_proj_weight=W), TypeError, "k_proj_weight must be a Tensor, got NoneType"),
        (lambda: F.multi_head_attention_forward(
            X, X, X, E, 2, mg.ones(3 * E, E), *REST, static_k=X), NotImplementedError,
         "static_k and static_v are not supported: give keys"),
        (lambda: F.multi_head_attention_forward(
            X, X[..., :2], X, E, 2, mg.ones(3 * E, E), *REST), RuntimeError,
         "the last size of key to be 6, got shape"),
    ],
)  # fmt: skip
def test_refusals(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"multi_head_attention_forward: .*{text}"):
        call()


@pytest.mark.parametrize("name", [
    "in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj_weight", "out_proj_bias",
    "q_proj_weight", "k_proj_weight", "v_proj_weight",
])  # fmt: skip
def test_a_parameter_of_another_shape_is_named(name: str) -> None:
    apart = name[0] in "qkv"
    given: dict[str, Any] = {
        "in_proj_weight": mg.ones(3 * E, E), "in_proj_bias": mg.ones(3 * E), "bias_k": None,
        "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0, "out_proj_weight": W,
        "out_proj_bias": mg.ones(E), "use_separate_proj_weight": apart,
        "q_proj_weight": W, "k_proj_weight": W, "v_proj_weight": W,
    }  # fmt: skip
    F.multi_head_attention_forward(X, X, X, E, 2, **given)
    for wrong in (mg.ones(E + 1, E), mg.ones(2), mg.ones(1, 1, E + 1)):
        message = rf"^multi_head_attention_forward: {name} has shape \(.*, expected \("
        with pytest.raises(RuntimeError, match=message):
            F.multi_head_attention_forward(X, X, X, E, 2, **given | {name: wrong})
    with pytest.raises(TypeError, match=f"^multi_head_attention_forward: {name} must be a Tensor"):
        F.multi_head_attention_forward(X, X, X, E, 2, **given | {name: [1.0]})


def test_what_scripts_hang_on_a_tensor() -> None:
    """pe.require_grad = False of a hundred positional encodings, weight.fast, p.no_decay."""
    found = []
    for m in (mg, torch):
        x, p = m.ones(2), m.nn.Parameter(m.ones(2))
        layer = m.nn.Linear(2, 2)
        for t in (x, p, layer.weight):
            t.require_grad = False
            t.tags = [t.shape[0]]
        layer.double()
        copies = [
            how(t)
            for t in (x, p)
            for how in (copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t)))
        ]
        made = [x.detach(), x.clone(), x[:1], x + 1, p.data]
        found.append([getattr(t, "tags", None) for t in (*copies, *made, layer.weight)])
        assert copies[1].tags is not x.tags  # one list a tensor
        assert not x.requires_grad and p.requires_grad
        with pytest.raises(AttributeError):
            x.shape = (2,)
        with pytest.raises(AttributeError):
            x.no_such_thing  # noqa: B018
    assert found[0] == found[1]


def test_bfloat16_has_a_name_and_no_tensors() -> None:
    for m in (mg, torch):
        kinds = {"float32": m.float32, "bfloat16": m.bfloat16, "float16": m.float16}
        dtypes = [m.ones(2, dtype=m.float16).dtype, m.ones(2).dtype]
        assert [d in (m.bfloat16, m.float16) for d in dtypes] == [True, False]
        assert [d == m.bfloat16 for d in dtypes] == [m.bfloat16 == d for d in dtypes] == [False] * 2
        assert kinds["bfloat16"] == m.bfloat16 != kinds["float32"]
        assert str(kinds["bfloat16"]) == f"{m.__name__}.bfloat16"
        with m.autocast("cpu", dtype=m.bfloat16, enabled=False):
            assert m.ones(2).dtype == m.float32
    x, layer = mg.ones(2), nn.Linear(2, 2)
    for call in (
        lambda: x.to(mg.bfloat16), lambda: mg.zeros(2, dtype=mg.bfloat16),
        lambda: mg.tensor([1.0], dtype=mg.bfloat16), lambda: layer.to("cpu", mg.bfloat16),
        lambda: nn.Linear(2, 2, dtype=mg.bfloat16), lambda: layer.bfloat16(),
        lambda: mg.finfo(mg.bfloat16), lambda: x.sum(dtype=mg.bfloat16),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="bfloat16: numpy has no such dtype: use float32"):
            call()
    assert x.dtype != mg.complex64 and {mg.complex64: 1}[mg.complex64] == 1
    with pytest.raises(TypeError, match="complex64: there are no complex tensors: use one for"):
        x.to(mg.complex64)


def test_random_states_of_other_devices_are_none() -> None:
    for m in (mg, torch):
        states = importlib.import_module(f"{m.__name__}.utils.checkpoint")
        found = states.get_device_states(m.ones(2), 3)
        assert found == ([], []) and states.set_device_states(*found) is None
    with pytest.raises(ValueError, match="the CPU is the only device there is"):
        mg.utils.checkpoint.set_device_states([0], [None])


@pytest.mark.slow  # PyTorch's compile imports a compiler
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # PyTorch's compile says so
def test_names_of_settings_that_change_nothing() -> None:
    for m in (mg, torch):
        assert m.is_autocast_enabled() is False and m.is_autocast_enabled("cpu") is False
        assert m.jit.annotate(int, 3) == 3 and m.jit.Final[int]
        layer = m.nn.Linear(2, 2)
        assert layer.compile() is None and type(layer) is m.nn.Linear
        for part, name, layer in (
            ("batchnorm", "_BatchNorm", m.nn.BatchNorm2d(2)),
            ("batchnorm", "SyncBatchNorm", m.nn.SyncBatchNorm(2)),
            ("instancenorm", "_InstanceNorm", m.nn.InstanceNorm1d(2)),
        ):
            module = importlib.import_module(f"{m.__name__}.nn.modules.{part}")
            assert isinstance(layer, getattr(module, name))


def test_a_schedule_made_from_the_old_base() -> None:
    """Warm-up, as it stands in many scripts, before another schedule."""
    found = []
    for m in (mg, torch):

        class WarmUp(m.optim.lr_scheduler._LRScheduler):  # type: ignore[misc,name-defined]
            def __init__(self, optimizer: Any, total: int, after: Any = None) -> None:
                self.total, self.after = total, after
                super().__init__(optimizer)

            def get_lr(self) -> list[float]:
                if self.last_epoch > self.total and self.after:
                    return list(self.after.get_last_lr())
                return [base * (self.last_epoch / self.total) for base in self.base_lrs]

            def step(self, epoch: int | None = None) -> None:
                if self.last_epoch > self.total and self.after:
                    self.after.step(None if epoch is None else epoch - self.total)
                    self._last_lr = self.after.get_last_lr()
                else:
                    super().step(epoch)

        p = m.nn.Parameter(m.ones(2))
        optimizer = m.optim.SGD([p], lr=0.1)
        after = m.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
        schedule = WarmUp(optimizer, 3, after)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(8):
            p.sum().backward()
            optimizer.step()
            schedule.step()
            rates.append(optimizer.param_groups[0]["lr"])
        found.append([*rates, *schedule.get_last_lr()])
    np.testing.assert_allclose(*found, rtol=1e-12)  # Python's numbers
