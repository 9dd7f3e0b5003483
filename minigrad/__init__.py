"""minigrad: a small tape-based autograd engine with PyTorch's names.

To read it, start with tape.py, then tensor.py, then any chapter of ops/.
"""

import importlib
import math
from typing import TYPE_CHECKING

import numpy

from minigrad import (
    amp,
    analysis,
    autograd,
    data,
    distributed,
    distributions,
    func,
    jit,
    linalg,
    nn,
    optim,
    random,
    special,
    utils,
)
from minigrad.accelerators import accelerator, backends, cuda, mps
from minigrad.amp import autocast
from minigrad.checkpoint import Checkpoint
from minigrad.config import show_config, warmup
from minigrad.device import device
from minigrad.dtypes import bool_ as bool
from minigrad.jit import compile
from minigrad.kernels import get_num_threads, set_num_threads, use_kernels
from minigrad.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.names import no_name, suggest_names
from minigrad.ops.activations import erf, log_softmax, relu, sigmoid, softmax, tanh
from minigrad.ops.cumulative import cummax, cummin, cumprod, cumsum, logcumsumexp
from minigrad.ops.histograms import histc, histogram
from minigrad.ops.indexing import (
    gather,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    take,
    take_along_dim,
    unique,
)
from minigrad.ops.joining import (
    cat,
    chunk,
    concat,
    concatenate,
    flip,
    meshgrid,
    repeat_interleave,
    roll,
    split,
    stack,
    tile,
    unbind,
)
from minigrad.ops.linalg import det, inverse, logdet, matrix_power, pinverse, slogdet
from minigrad.ops.linalg import lower_cholesky as cholesky
from minigrad.ops.linear import addmm, bmm, dot, einsum, ger, matmul, mm, mv, outer, vdot
from minigrad.ops.order import aminmax, kthvalue, mode, nanmedian, unique_consecutive
from minigrad.ops.products import (
    addbmm,
    addmv,
    addr,
    baddbmm,
    cdist,
    corrcoef,
    cov,
    cross,
    dist,
    kron,
    tensordot,
    trace,
)
from minigrad.ops.properties import is_complex, is_floating_point, numel
from minigrad.ops.quantiles import nanmean, nanquantile, nansum, quantile
from minigrad.ops.rounding import ceil, floor, round, sgn, sign, trunc
from minigrad.ops.scattering import index_put, masked_scatter, put, scatter_reduce
from minigrad.ops.search import (
    argmax,
    argmin,
    argsort,
    bincount,
    max,
    median,
    min,
    searchsorted,
    sort,
    topk,
)
from minigrad.ops.solving import cholesky_solve, matrix_exp, svd, triangular_solve
from minigrad.ops.special import digamma, erfc, erfinv, i0, lgamma, mvlgamma
from minigrad.ops.types import (
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    get_default_dtype,
    set_default_dtype,
)
from minigrad.printing import set_printoptions
from minigrad.serialization import load, save
from minigrad.tensor import Tensor

# The long lists, several names a line.
# isort: off
from minigrad.dtypes import (
    complex128, finfo, float16, float32, float64, iinfo, int8, int16, int32, int64,
    promote_types, uint8,
)  # fmt: skip
from minigrad.ops.arithmetic import (
    abs, add, clamp, div, floor_divide, maximum, minimum, mul, neg, positive, remainder, sub,
    where,
)  # fmt: skip
from minigrad.ops.arranging import (
    bucketize, cartesian_prod, column_stack, combinations, diff, dsplit, dstack, fliplr, flipud,
    gradient, hsplit, hstack, index_add, index_copy, index_fill, isin, ravel, rot90, tensor_split,
    tril_indices, triu_indices, vsplit, vstack,
)  # fmt: skip
from minigrad.ops.compare import (
    allclose, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, eq, equal, gcd, ge, gt, isclose,
    isfinite, isinf, isnan, isneginf, isposinf, isreal, lcm, le, logical_and, logical_not,
    logical_or, logical_xor, lt, ne,
)  # fmt: skip
from minigrad.ops.create import (
    arange, as_tensor, asarray, empty, empty_like, eye, from_dlpack, from_numpy, full, full_like,
    is_tensor, linspace, logspace, ones, ones_like, scalar_tensor, tensor, zeros, zeros_like,
)  # fmt: skip
from minigrad.ops.elementary import (
    cos, exp, expm1, log, log1p, log2, log10, pow, reciprocal, rsqrt, sin, sqrt, square,
)  # fmt: skip
from minigrad.ops.random import (
    Generator, bernoulli, dropout, get_rng_state, initial_seed, manual_seed, multinomial, normal,
    rand, rand_like, randint, randint_like, randn, randn_like, randperm, seed, set_rng_state,
)  # fmt: skip
from minigrad.ops.reductions import (
    Dim, all, amax, amin, any, count_nonzero, logsumexp, mean, norm, prod, std, std_mean, sum, var,
    var_mean,
)  # fmt: skip
from minigrad.ops.windows import (
    adjoint, as_strided, atleast_1d, atleast_2d, atleast_3d, block_diag, broadcast_shapes, conj,
    diag_embed, diagflat, diagonal_scatter, moveaxis, real, select_scatter, slice_scatter,
    unravel_index,
)  # fmt: skip
from minigrad.ops.shape import (
    broadcast_tensors, broadcast_to, clone, diag, diagonal, flatten, movedim, narrow, permute,
    reshape, select, squeeze, swapaxes, swapdims, t, transpose, tril, triu, unflatten, unsqueeze,
)  # fmt: skip
from minigrad.ops.trigonometry import (
    acos, acosh, addcdiv, addcmul, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, asin,
    asinh, atan, atan2, atanh, clamp_max, clamp_min, copysign, cosh, deg2rad, exp2, fix,
    float_power, fmax, fmin, fmod, frac, heaviside, hypot, lerp, logaddexp, logaddexp2, logit,
    nan_to_num, rad2deg, signbit, sinc, sinh, tan, xlogy,
)  # fmt: skip
# isort: on

if TYPE_CHECKING:
    from minigrad.visual import explore, graph, profile, remember

subtract, multiply, divide, true_divide, negative, absolute, clip = (
    sub, mul, div, div, neg, abs, clamp,
)  # fmt: skip
float, double, half, long, int, short = float32, float64, float16, int64, int32, int16
Size, dtype = tuple, numpy.dtype
inf, nan, pi = math.inf, math.nan, math.pi
__version__ = "0.2.0"

suggest_names(
    "minigrad.amp", "minigrad.analysis", "minigrad.autograd", "minigrad.data",
    "minigrad.distributed", "minigrad.distributions", "minigrad.func", "minigrad.jit",
    "minigrad.linalg", "minigrad.nn", "minigrad.nn.functional", "minigrad.nn.init",
    "minigrad.nn.utils", "minigrad.optim", "minigrad.optim.lr_scheduler", "minigrad.random",
    "minigrad.special", "minigrad.utils", "minigrad.utils.data",
)  # fmt: skip

__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "Checkpoint", "Dim", "DoubleTensor",
    "FloatTensor", "Generator", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Size",
    "Tensor", "abs", "absolute", "accelerator", "acos", "acosh", "add", "addbmm", "addcdiv",
    "addcmul", "addmm", "addmv", "addr", "adjoint", "all", "allclose", "amax", "amin",
    "aminmax", "amp", "analysis", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "as_strided", "as_tensor",
    "asarray", "asin", "asinh", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d",
    "atleast_3d", "autocast", "autograd", "backends", "baddbmm", "bernoulli", "bincount",
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "block_diag", "bmm", "bool",
    "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "cartesian_prod",
    "cat", "cdist", "ceil", "cholesky", "cholesky_solve", "chunk", "clamp", "clamp_max",
    "clamp_min", "clip", "clone", "column_stack", "combinations", "compile", "complex128",
    "concat", "concatenate", "conj", "copysign", "corrcoef", "cos", "cosh", "count_nonzero",
    "cov", "cross", "cuda", "cummax", "cummin", "cumprod", "cumsum", "data", "deg2rad", "det",
    "device", "diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff",
    "digamma", "dist", "distributed", "distributions", "div", "divide", "dot", "double",
    "dropout", "dsplit", "dstack", "dtype", "einsum", "empty", "empty_like", "enable_grad",
    "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2", "explore", "expm1", "eye", "finfo",
    "fix", "flatten", "flip", "fliplr", "flipud", "float", "float16", "float32", "float64",
    "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "from_dlpack",
    "from_numpy", "full", "full_like", "func", "gather", "gcd", "ge", "ger",
    "get_default_dtype", "get_num_threads", "get_rng_state", "gradient", "graph", "gt", "half",
    "heaviside", "histc", "histogram", "hsplit", "hstack", "hypot", "i0", "iinfo", "index_add",
    "index_copy", "index_fill", "index_put", "index_select", "inf", "inference_mode",
    "initial_seed", "int", "int8", "int16", "int32", "int64", "inverse", "is_complex",
    "is_floating_point", "is_grad_enabled", "is_tensor", "isclose", "isfinite", "isin", "isinf",
    "isnan", "isneginf", "isposinf", "isreal", "jit", "kron", "kthvalue", "lcm", "le", "lerp",
    "lgamma", "linalg", "linspace", "load", "log", "log1p", "log2", "log10", "log_softmax",
    "logaddexp", "logaddexp2", "logcumsumexp", "logdet", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logit", "logspace", "logsumexp", "long", "lt", "manual_seed",
    "masked_fill", "masked_scatter", "masked_select", "matmul", "matrix_exp", "matrix_power",
    "max", "maximum", "mean", "median", "meshgrid", "min", "minimum", "mm", "mode", "moveaxis",
    "movedim", "mps", "mul", "multinomial", "multiply", "mv", "mvlgamma", "nan", "nan_to_num",
    "nanmean", "nanmedian", "nanquantile", "nansum", "narrow", "ne", "neg", "negative", "nn",
    "no_grad", "nonzero", "norm", "normal", "numel", "ones", "ones_like", "optim", "outer",
    "permute", "pi", "pinverse", "positive", "pow", "prod", "profile", "promote_types", "put",
    "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "random", "randperm", "ravel", "real", "reciprocal", "relu", "remainder",
    "remember", "repeat_interleave", "reshape", "roll", "rot90", "round", "rsqrt", "save",
    "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "seed",
    "select", "select_scatter", "set_default_dtype", "set_grad_enabled", "set_num_threads",
    "set_printoptions", "set_rng_state", "sgn", "short", "show_config", "sigmoid", "sign",
    "signbit", "sin", "sinc", "sinh", "slice_scatter", "slogdet", "softmax", "sort", "special",
    "split", "sqrt", "square", "squeeze", "stack", "std", "std_mean", "sub", "subtract", "sum",
    "svd", "swapaxes", "swapdims", "t", "take", "take_along_dim", "tan", "tanh", "tensor",
    "tensor_split", "tensordot", "tile", "topk", "trace", "transpose", "triangular_solve",
    "tril", "tril_indices", "triu", "triu_indices", "true_divide", "trunc", "uint8", "unbind",
    "unflatten", "unique", "unique_consecutive", "unravel_index", "unsqueeze", "use_kernels",
    "utils", "var", "var_mean", "vdot", "vsplit", "vstack", "warmup", "where", "xlogy", "zeros",
    "zeros_like",
]  # fmt: skip


if not TYPE_CHECKING:  # which would let every name pass

    def __getattr__(name: str) -> object:
        """What is loaded when it is first used."""
        if name in ("explore", "graph", "profile", "remember"):
            value = globals()[name] = getattr(importlib.import_module("minigrad.visual"), name)
            return value
        raise no_name("minigrad", name, __all__)
