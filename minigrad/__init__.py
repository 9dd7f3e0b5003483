"""minigrad: a small tape-based autograd engine with PyTorch's names.

To read it, start with tape.py, then tensor.py, then any chapter of ops/.
"""

import importlib
import math
import sys
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
    testing,
    utils,
    version,
)
from minigrad.accelerators import accelerator, backends, cuda, mps
from minigrad.amp import autocast, is_autocast_enabled
from minigrad.checkpoint import Checkpoint
from minigrad.config import show_config, warmup
from minigrad.device import contiguous_format, device, memory_format, preserve_format
from minigrad.dtypes import bool_ as bool
from minigrad.incoming import Size
from minigrad.jacobians import vmap
from minigrad.jit import compile
from minigrad.kernels import get_num_threads, set_num_threads, use_kernels
from minigrad.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.names import no_name, suggest_names
from minigrad.ops.activations import erf, log_softmax, relu, sigmoid, softmax, tanh
from minigrad.ops.cumulative import cummax, cummin, cumprod, cumsum, logcumsumexp
from minigrad.ops.foreach import foreach
from minigrad.ops.histograms import histc, histogram
from minigrad.ops.indexing import (
    argwhere,
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
    split_with_sizes,
    stack,
    tile,
    unbind,
)
from minigrad.ops.linalg import det, inverse, logdet, matrix_power, pinverse, slogdet
from minigrad.ops.linalg import lower_cholesky as cholesky
from minigrad.ops.linear import addmm, bmm, dot, einsum, ger, inner, matmul, mm, mv, outer, vdot
from minigrad.ops.order import aminmax, kthvalue, mode, msort, nanmedian, unique_consecutive
from minigrad.ops.products import (
    addbmm,
    addmv,
    addr,
    baddbmm,
    cdist,
    chain_matmul,
    corrcoef,
    cov,
    cross,
    dist,
    kron,
    tensordot,
    trace,
    vander,
)
from minigrad.ops.properties import is_complex, is_floating_point, is_signed, numel
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
from minigrad.ops.solving import cholesky_solve, lu_unpack, matrix_exp, qr, svd, triangular_solve
from minigrad.ops.solving import old_lu as lu
from minigrad.ops.solving import old_lu_solve as lu_solve
from minigrad.ops.special import digamma, erfc, erfinv, i0, lgamma, mvlgamma, polygamma
from minigrad.ops.sums import cumulative_trapezoid, renorm, trapezoid, trapz
from minigrad.ops.tapers import (
    bartlett_window,
    blackman_window,
    hamming_window,
    hann_window,
    kaiser_window,
)
from minigrad.ops.top_level import batch_norm, detach, embedding, instance_norm, kl_div
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
    can_cast,
    get_default_dtype,
    result_type,
    set_default_dtype,
    set_default_tensor_type,
)
from minigrad.ops.writing import take_out
from minigrad.printing import set_printoptions
from minigrad.serialization import load, save
from minigrad.settings import (
    are_deterministic_algorithms_enabled,
    get_default_device,
    get_float32_matmul_precision,
    set_default_device,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    use_deterministic_algorithms,
)
from minigrad.tensor import Tensor
from minigrad.version import __version__ as __version__

# The long lists, several names a line.
# isort: off
from minigrad.dtypes import (
    bfloat16, complex64, complex128, finfo, float16, float32, float64, iinfo, int8, int16, int32,
    int64, promote_types, uint8,
)  # fmt: skip
from minigrad.ops.arithmetic import (
    abs, add, clamp, div, floor_divide, maximum, minimum, mul, neg, positive, remainder, sub,
    where,
)  # fmt: skip
from minigrad.ops.arranging import (
    bucketize, cartesian_prod, column_stack, combinations, diff, dsplit, dstack, fliplr, flipud,
    gradient, hsplit, hstack, index_add, index_copy, index_fill, isin, ravel, rot90, row_stack,
    tensor_split, tril_indices, triu_indices, vsplit, vstack,
)  # fmt: skip
from minigrad.ops.compare import (
    allclose, bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift,
    bitwise_xor, eq, equal, gcd, ge, greater, greater_equal, gt, is_nonzero, isclose, isfinite,
    isinf, isnan, isneginf, isposinf, isreal, lcm, le, less, less_equal, logical_and, logical_not,
    logical_or, logical_xor, lt, ne, nextafter, not_equal,
)  # fmt: skip
from minigrad.ops.create import (
    arange, as_tensor, asarray, empty, empty_like, eye, from_dlpack, from_numpy, frombuffer, full,
    full_like, is_tensor, linspace, logspace, ones, ones_like, range, scalar_tensor, tensor, zeros,
    zeros_like,
)  # fmt: skip
from minigrad.ops.elementary import (
    cos, exp, expm1, ldexp, log, log1p, log2, log10, pow, reciprocal, rsqrt, sin, sqrt, square,
)  # fmt: skip
from minigrad.ops.random import (
    Generator, bernoulli, dropout, get_rng_state, initial_seed, manual_seed, multinomial, normal,
    poisson, rand, rand_like, randint, randint_like, randn, randn_like, randperm, seed,
    set_rng_state,
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

# What PyTorch has at its top level as well as elsewhere, and in-place forms as functions.
from minigrad.nn.functional import (
    adaptive_avg_pool1d, adaptive_max_pool1d, alpha_dropout, avg_pool1d, bilinear, celu,
    channel_shuffle, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d,
    cosine_similarity, feature_alpha_dropout, group_norm, hardshrink, layer_norm, max_pool1d,
    max_pool2d, max_pool3d, pairwise_distance, pdist, pixel_shuffle, pixel_unshuffle, prelu,
    rms_norm, rrelu, selu, threshold,
)  # fmt: skip
from minigrad.ops.functions_in_place import (
    alpha_dropout_, celu_, dropout_, feature_alpha_dropout_, rrelu_, selu_, threshold_,
)  # fmt: skip
from minigrad.ops.inplace import (
    abs_, acos_, acosh_, addmv_, arccos_, arccosh_, arcsin_, arcsinh_, arctan_, arctanh_, asin_,
    asinh_, atan_, atanh_, ceil_, clamp_, clamp_max_, clamp_min_, clip_, cos_, cosh_, deg2rad_,
    erf_, erfc_, exp2_, exp_, expm1_, fill_, fix_, floor_, frac_, gcd_, i0_, index_put_, lcm_,
    ldexp_, log1p_, log2_, log10_, log_, logit_, nan_to_num_, neg_, negative_, rad2deg_,
    reciprocal_, relu_, round_, rsqrt_, sigmoid_, sin_, sinc_, sinh_, sqrt_, square_, tan_, tanh_,
    trunc_, xlogy_, zero_,
)  # fmt: skip
# isort: on

if TYPE_CHECKING:
    from minigrad.visual import explore, graph, profile, remember

subtract, multiply, divide, true_divide, negative, absolute, clip = (
    sub, mul, div, div, neg, abs, clamp,
)  # fmt: skip
float, double, half, long, int, short = float32, float64, float16, int64, int32, int16
dtype = numpy.dtype
inf, nan, pi, e, newaxis = math.inf, math.nan, math.pi, math.e, None

take_out(globals(), (
    "abs", "absolute", "acos", "acosh", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv",
    "addr", "all", "amax", "amin", "aminmax", "any", "arange", "arccos", "arccosh", "arcsin",
    "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "asin", "asinh", "atan", "atan2",
    "atanh", "baddbmm", "bernoulli", "bitwise_and", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm", "bucketize", "cat", "ceil",
    "cholesky", "cholesky_solve", "clamp", "clamp_max", "clamp_min", "clip", "column_stack",
    "concat", "concatenate", "copysign", "cos", "cosh", "cross", "cummax", "cummin", "cumprod",
    "cumsum", "deg2rad", "diag", "diff", "digamma", "div", "divide", "dot", "dstack", "empty", "eq",
    "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "eye", "fix", "float_power", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "frac", "full", "gather", "gcd", "ge", "ger", "greater",
    "greater_equal", "gt", "heaviside", "histc", "hstack", "hypot", "i0", "index_add",
    "index_select", "inner", "inverse", "isin", "isneginf", "isposinf", "kron", "kthvalue", "lcm",
    "ldexp", "le", "lerp", "less", "less_equal", "lgamma", "linspace", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "logcumsumexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logit", "logspace", "logsumexp", "lt", "lu_solve", "masked_select", "matmul",
    "matrix_power", "max", "maximum", "mean", "median", "min", "minimum", "mm", "mode", "msort",
    "mul", "multinomial", "multiply", "mv", "mvlgamma", "nan_to_num", "nanmean", "nanmedian",
    "nanquantile", "ne", "neg", "negative", "nextafter", "nonzero", "norm", "normal", "not_equal",
    "ones", "outer", "polygamma", "pow", "prod", "qr", "quantile", "rad2deg", "rand", "randint",
    "randn", "randperm", "range", "reciprocal", "remainder", "renorm", "round", "row_stack",
    "rsqrt", "scatter", "scatter_add", "searchsorted", "sgn", "sigmoid", "sign", "signbit", "sin",
    "sinc", "sinh", "softmax", "sort", "sqrt", "square", "stack", "std", "sub", "subtract", "sum",
    "svd", "take", "take_along_dim", "tan", "tanh", "tensordot", "topk", "triangular_solve", "tril",
    "triu", "true_divide", "trunc", "var", "vdot", "vstack", "where", "xlogy", "zeros",
))  # fmt: skip
# PyTorch has a part of these functions in a file of this name: here it is another for all.
functional = sys.modules[f"{__name__}.functional"] = sys.modules[__name__]
suggest_names(
    "minigrad.amp", "minigrad.analysis", "minigrad.autograd", "minigrad.data",
    "minigrad.distributed", "minigrad.distributions", "minigrad.func", "minigrad.jit",
    "minigrad.linalg", "minigrad.nn", "minigrad.nn.functional", "minigrad.nn.init",
    "minigrad.nn.utils", "minigrad.optim", "minigrad.optim.lr_scheduler", "minigrad.random",
    "minigrad.special", "minigrad.testing", "minigrad.utils", "minigrad.utils.data",
)  # fmt: skip

__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "Checkpoint", "Dim", "DoubleTensor", "FloatTensor",
    "Generator", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Size", "Tensor", "abs",
    "abs_", "absolute", "accelerator", "acos", "acos_", "acosh", "acosh_", "adaptive_avg_pool1d",
    "adaptive_max_pool1d", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addmv_",
    "addr", "adjoint", "all", "allclose", "alpha_dropout", "alpha_dropout_", "amax", "amin",
    "aminmax", "amp", "analysis", "any", "arange", "arccos", "arccos_", "arccosh", "arccosh_",
    "arcsin", "arcsin_", "arcsinh", "arcsinh_", "arctan", "arctan2", "arctan_", "arctanh",
    "arctanh_", "are_deterministic_algorithms_enabled", "argmax", "argmin", "argsort", "argwhere",
    "as_strided", "as_tensor", "asarray", "asin", "asin_", "asinh", "asinh_", "atan", "atan2",
    "atan_", "atanh", "atanh_", "atleast_1d", "atleast_2d", "atleast_3d", "autocast", "autograd",
    "avg_pool1d", "backends", "baddbmm", "bartlett_window", "batch_norm", "bernoulli", "bfloat16",
    "bilinear", "bincount", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "blackman_window", "block_diag", "bmm", "bool",
    "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast",
    "cartesian_prod", "cat", "cdist", "ceil", "ceil_", "celu", "celu_", "chain_matmul",
    "channel_shuffle", "cholesky", "cholesky_solve", "chunk", "clamp", "clamp_",
    "clamp_max", "clamp_max_", "clamp_min", "clamp_min_", "clip", "clip_", "clone", "column_stack",
    "combinations", "compile", "complex64", "complex128", "concat", "concatenate", "conj",
    "contiguous_format", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "copysign", "corrcoef", "cos", "cos_", "cosh", "cosh_", "cosine_similarity",
    "count_nonzero", "cov", "cross", "cuda", "cummax", "cummin", "cumprod", "cumsum",
    "cumulative_trapezoid", "data", "deg2rad", "deg2rad_", "det", "detach", "device", "diag",
    "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff", "digamma", "dist",
    "distributed", "distributions", "div", "divide", "dot", "double", "dropout", "dropout_",
    "dsplit", "dstack", "dtype", "e", "einsum", "embedding", "empty", "empty_like", "enable_grad",
    "eq", "equal", "erf", "erf_", "erfc", "erfc_", "erfinv", "exp", "exp2", "exp2_", "exp_",
    "explore", "expm1", "expm1_", "eye", "feature_alpha_dropout", "feature_alpha_dropout_", "fill_",
    "finfo", "fix", "fix_", "flatten", "flip", "fliplr", "flipud", "float", "float16", "float32",
    "float64", "float_power", "floor", "floor_", "floor_divide", "fmax", "fmin", "fmod", "frac",
    "frac_", "from_dlpack", "from_numpy", "frombuffer", "full", "full_like", "func", "gather",
    "gcd", "gcd_", "ge", "ger", "get_default_device", "get_default_dtype",
    "get_float32_matmul_precision", "get_num_threads", "get_rng_state", "gradient", "graph",
    "greater", "greater_equal", "group_norm", "gt", "half", "hamming_window", "hann_window",
    "hardshrink", "heaviside", "histc", "histogram", "hsplit", "hstack", "hypot", "i0", "i0_",
    "iinfo", "index_add", "index_copy", "index_fill", "index_put", "index_put_", "index_select",
    "inf", "inference_mode", "initial_seed", "inner", "instance_norm", "int", "int8", "int16",
    "int32", "int64", "inverse", "is_autocast_enabled", "is_complex", "is_floating_point",
    "is_grad_enabled", "is_nonzero", "is_signed", "is_tensor", "isclose", "isfinite", "isin",
    "isinf", "isnan", "isneginf", "isposinf", "isreal", "jit", "kaiser_window", "kl_div", "kron",
    "kthvalue", "layer_norm", "lcm", "lcm_", "ldexp", "ldexp_", "le", "lerp", "less", "less_equal",
    "lgamma", "linalg", "linspace", "load", "log", "log1p", "log1p_", "log2", "log2_", "log10",
    "log10_", "log_", "log_softmax", "logaddexp", "logaddexp2", "logcumsumexp", "logdet",
    "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logit_", "logspace",
    "logsumexp", "long", "lt", "lu", "lu_solve", "lu_unpack", "manual_seed", "masked_fill",
    "masked_scatter", "masked_select", "matmul", "matrix_exp", "matrix_power", "max", "max_pool1d",
    "max_pool2d", "max_pool3d", "maximum", "mean", "median", "memory_format", "meshgrid", "min",
    "minimum", "mm", "mode", "moveaxis", "movedim", "mps", "msort", "mul", "multinomial",
    "multiply", "mv", "mvlgamma", "nan", "nan_to_num", "nan_to_num_", "nanmean", "nanmedian",
    "nanquantile", "nansum", "narrow", "ne", "neg", "neg_", "negative", "negative_", "newaxis",
    "nextafter", "nn", "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "ones",
    "ones_like", "optim", "outer", "pairwise_distance", "pdist", "permute", "pi", "pinverse",
    "pixel_shuffle", "pixel_unshuffle", "poisson", "polygamma", "positive", "pow", "prelu",
    "preserve_format", "prod", "profile", "promote_types", "put", "qr", "quantile", "rad2deg",
    "rad2deg_", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random",
    "randperm", "range", "ravel", "real", "reciprocal", "reciprocal_", "relu", "relu_", "remainder",
    "remember", "renorm", "repeat_interleave", "reshape", "result_type", "rms_norm", "roll",
    "rot90", "round", "round_", "row_stack", "rrelu", "rrelu_", "rsqrt", "rsqrt_", "save",
    "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted", "seed", "select",
    "select_scatter", "selu", "selu_", "set_default_device", "set_default_dtype",
    "set_default_tensor_type", "set_float32_matmul_precision", "set_flush_denormal",
    "set_grad_enabled", "set_num_interop_threads", "set_num_threads", "set_printoptions",
    "set_rng_state", "sgn", "short", "show_config", "sigmoid", "sigmoid_", "sign", "signbit", "sin",
    "sin_", "sinc", "sinc_", "sinh", "sinh_", "slice_scatter", "slogdet", "softmax", "sort",
    "special", "split", "split_with_sizes", "sqrt", "sqrt_", "square", "square_", "squeeze",
    "stack", "std", "std_mean", "sub", "subtract", "sum", "svd", "swapaxes", "swapdims", "t",
    "take", "take_along_dim", "tan", "tan_", "tanh", "tanh_", "tensor", "tensor_split", "tensordot",
    "testing", "threshold", "threshold_", "tile", "topk", "trace", "transpose", "trapezoid",
    "trapz", "triangular_solve", "tril", "tril_indices", "triu", "triu_indices", "true_divide",
    "trunc", "trunc_", "uint8", "unbind", "unflatten", "unique", "unique_consecutive",
    "unravel_index", "unsqueeze", "use_deterministic_algorithms", "use_kernels", "utils", "vander",
    "var", "var_mean", "vdot", "version", "vmap", "vsplit", "vstack", "warmup", "where", "xlogy",
    "xlogy_", "zero_", "zeros", "zeros_like",
]  # fmt: skip


if not TYPE_CHECKING:  # which would let every name pass

    def __getattr__(name: str) -> object:
        """What is loaded when it is first used."""
        if name in ("explore", "graph", "profile", "remember"):
            value = globals()[name] = getattr(importlib.import_module("minigrad.visual"), name)
            return value
        if name in ("hub", "multiprocessing"):
            return importlib.import_module(f"minigrad.{name}")
        if name.startswith("_foreach_") and (found := foreach(name.removeprefix("_foreach_"))):
            return found
        raise no_name("minigrad", name, __all__)
