"""Tensor's methods: which op has which name there. `methods_in_place.py` has those that change it,
`operators.py` the operators and properties.

`ops/__init__.py` copies what `Methods` holds onto Tensor. For type checkers and editors Tensor
inherits it, so they know every method by the op itself: its arguments, its docstring, its place.
"""

from __future__ import annotations

from typing import Any

# Under other names, since in a class the name of a method hides a module: shape, random, any.
# isort: off
from minigrad.ops import (
    activations as _activations, arithmetic as _arithmetic, arranging as _arranging,
    compare as _compare, convert as _convert, create as _create, cumulative as _cumulative,
    elementary as _elementary, histograms as _histograms, indexing as _indexing,
    joining as _joining, linalg as _linalg, linear as _linear, margins as _margins, order as _order,
    products as _products, properties as _properties, quantiles as _quantiles, random as _random,
    reductions as _reductions, rounding as _rounding, scattering as _scattering, search as _search,
    shape as _shape, solving as _solving, special as _special, sums as _sums,
    trigonometry as _trigonometry, types as _types, windows as _windows,
)  # fmt: skip

# isort: on
from minigrad.ops.methods_in_place import InPlace
from minigrad.tensor import Tensor


class Methods(InPlace):
    """Tensor's methods."""

    __slots__ = ()

    # ops/properties.py
    dim = _properties.dim
    size = _properties.size
    ndimension = _properties.dim
    numel = _properties.numel
    get_device = _properties.get_device
    is_pinned = _properties.is_pinned
    is_shared = _properties.is_shared
    nelement = _properties.numel
    element_size = _properties.element_size
    is_contiguous = _properties.is_contiguous
    is_complex = _properties.is_complex
    is_signed = _properties.is_signed
    storage_offset = _properties.storage_offset
    stride = _properties.stride
    is_floating_point = _properties.is_floating_point
    data_ptr = _properties.data_ptr

    # ops/arithmetic.py
    add = _arithmetic.add
    sub = _arithmetic.sub
    mul = _arithmetic.mul
    div = _arithmetic.div
    floor_divide = _arithmetic.floor_divide
    remainder = _arithmetic.remainder
    neg = _arithmetic.neg
    positive = _arithmetic.positive
    pow = _elementary.pow
    ldexp = _elementary.ldexp
    square = _elementary.square
    exp = _elementary.exp
    expm1 = _elementary.expm1
    log = _elementary.log
    log2 = _elementary.log2
    log10 = _elementary.log10
    log1p = _elementary.log1p
    sqrt = _elementary.sqrt
    rsqrt = _elementary.rsqrt
    reciprocal = _elementary.reciprocal
    sin = _elementary.sin
    cos = _elementary.cos
    abs = _arithmetic.abs
    maximum = _arithmetic.maximum
    minimum = _arithmetic.minimum
    clamp = _arithmetic.clamp

    # ops/trigonometry.py
    lerp = _trigonometry.lerp
    addcmul = _trigonometry.addcmul
    tan = _trigonometry.tan
    sinh = _trigonometry.sinh
    cosh = _trigonometry.cosh
    asin = _trigonometry.asin
    acos = _trigonometry.acos
    atan = _trigonometry.atan
    asinh = _trigonometry.asinh
    acosh = _trigonometry.acosh
    atanh = _trigonometry.atanh
    atan2 = _trigonometry.atan2
    hypot = _trigonometry.hypot
    deg2rad = _trigonometry.deg2rad
    rad2deg = _trigonometry.rad2deg
    frac = _trigonometry.frac
    fmod = _trigonometry.fmod
    copysign = _trigonometry.copysign
    signbit = _trigonometry.signbit
    heaviside = _trigonometry.heaviside
    exp2 = _trigonometry.exp2
    logit = _trigonometry.logit
    xlogy = _trigonometry.xlogy
    logaddexp = _trigonometry.logaddexp
    logaddexp2 = _trigonometry.logaddexp2
    addcdiv = _trigonometry.addcdiv
    float_power = _trigonometry.float_power
    nan_to_num = _trigonometry.nan_to_num
    clamp_min = _trigonometry.clamp_min
    clamp_max = _trigonometry.clamp_max
    fmax = _trigonometry.fmax
    fmin = _trigonometry.fmin
    sinc = _trigonometry.sinc
    arcsin = _trigonometry.arcsin
    arccos = _trigonometry.arccos
    arctan = _trigonometry.arctan
    arcsinh = _trigonometry.arcsinh
    arccosh = _trigonometry.arccosh
    arctanh = _trigonometry.arctanh
    arctan2 = _trigonometry.arctan2
    fix = _trigonometry.fix
    hardshrink = _margins.hardshrink

    # ops/rounding.py
    sign = _rounding.sign
    sgn = _rounding.sgn
    floor = _rounding.floor
    ceil = _rounding.ceil
    trunc = _rounding.trunc
    round = _rounding.round

    # ops/compare.py
    eq = _compare.eq
    ne = _compare.ne
    lt = _compare.lt
    le = _compare.le
    gt = _compare.gt
    ge = _compare.ge
    logical_and = _compare.logical_and
    logical_or = _compare.logical_or
    logical_xor = _compare.logical_xor
    logical_not = _compare.logical_not
    bitwise_and = _compare.bitwise_and
    bitwise_or = _compare.bitwise_or
    bitwise_xor = _compare.bitwise_xor
    bitwise_not = _compare.bitwise_not
    bitwise_left_shift = _compare.bitwise_left_shift
    bitwise_right_shift = _compare.bitwise_right_shift
    nextafter = _compare.nextafter
    is_nonzero = _compare.is_nonzero
    gcd = _compare.gcd
    lcm = _compare.lcm
    isposinf = _compare.isposinf
    isneginf = _compare.isneginf
    isreal = _compare.isreal
    isnan = _compare.isnan
    isinf = _compare.isinf
    isfinite = _compare.isfinite
    isclose = _compare.isclose
    allclose = _compare.allclose
    equal = _compare.equal

    # ops/activations.py
    relu = _activations.relu
    sigmoid = _activations.sigmoid
    tanh = _activations.tanh
    erf = _activations.erf
    softmax = _activations.softmax
    prelu = _activations.prelu
    log_softmax = _activations.log_softmax

    # ops/reductions.py
    sum = _reductions.sum
    mean = _reductions.mean
    var = _reductions.var
    std = _reductions.std
    amax = _reductions.amax
    amin = _reductions.amin
    prod = _reductions.prod
    cumsum = _cumulative.cumsum
    cumprod = _cumulative.cumprod
    logcumsumexp = _cumulative.logcumsumexp
    cummax = _cumulative.cummax
    cummin = _cumulative.cummin
    nansum = _quantiles.nansum
    nanmean = _quantiles.nanmean
    quantile = _quantiles.quantile
    nanquantile = _quantiles.nanquantile
    logsumexp = _reductions.logsumexp
    norm = _reductions.norm
    any = _reductions.any
    all = _reductions.all
    count_nonzero = _reductions.count_nonzero

    # ops/search.py
    max = _search.max
    min = _search.min
    argmax = _search.argmax
    argmin = _search.argmin
    sort = _search.sort
    argsort = _search.argsort
    topk = _search.topk
    median = _search.median
    bincount = _search.bincount
    histc = _histograms.histc
    histogram = _histograms.histogram

    # ops/shape.py
    reshape = _shape.reshape
    view = _shape.view
    view_as = _shape.view_as
    reshape_as = _shape.reshape_as
    flatten = _shape.flatten
    unflatten = _shape.unflatten
    permute = _shape.permute
    transpose = _shape.transpose
    swapaxes = _shape.swapaxes
    swapdims = _shape.swapdims
    movedim = _shape.movedim
    t = _shape.t
    squeeze = _shape.squeeze
    unsqueeze = _shape.unsqueeze
    expand = _shape.expand
    expand_as = _shape.expand_as
    broadcast_to = _shape.broadcast_to
    contiguous = _shape.contiguous
    clone = _shape.clone
    narrow = _shape.narrow
    unfold = _shape.unfold
    select = _shape.select
    diagonal = _shape.diagonal
    diag = _shape.diag
    triu = _shape.triu
    tril = _shape.tril

    # ops/joining.py
    split = _joining.split
    split_with_sizes = _joining.split_with_sizes
    chunk = _joining.chunk
    unbind = _joining.unbind
    flip = _joining.flip
    roll = _joining.roll
    tile = _joining.tile
    repeat = _joining.repeat
    repeat_interleave = _joining.repeat_interleave

    # ops/arranging.py
    ravel = _arranging.ravel
    tensor_split = _arranging.tensor_split
    hsplit = _arranging.hsplit
    vsplit = _arranging.vsplit
    fliplr = _arranging.fliplr
    flipud = _arranging.flipud
    rot90 = _arranging.rot90
    diff = _arranging.diff
    index_fill = _arranging.index_fill
    index_add = _arranging.index_add
    index_copy = _arranging.index_copy
    dsplit = _arranging.dsplit

    # ops/convert.py
    to = _convert.to
    float = _convert.float
    double = _convert.double
    half = _convert.half
    bfloat16 = _convert.bfloat16
    long = _convert.long
    int = _convert.int
    short = _convert.short
    char = _convert.char
    byte = _convert.byte
    bool = _convert.bool
    type_as = _convert.type_as
    cpu = _convert.cpu
    cuda = _convert.cuda
    share_memory_ = _convert.share_memory_
    pin_memory = _convert.pin_memory

    # ops/types.py
    type = _types.type

    # ops/linear.py
    matmul = _linear.matmul
    mm = _linear.mm
    bmm = _linear.bmm
    mv = _linear.mv
    dot = _linear.dot
    vdot = _linear.vdot
    outer = _linear.outer
    inner = _linear.inner
    ger = _linear.outer
    addmm = _linear.addmm

    # ops/linalg.py
    inverse = _linalg.inverse
    det = _linalg.det
    slogdet = _linalg.slogdet
    logdet = _linalg.logdet
    cholesky = _linalg.lower_cholesky
    matrix_power = _linalg.matrix_power
    pinverse = _linalg.pinverse
    svd = _solving.svd
    qr = _solving.qr
    matrix_exp = _solving.matrix_exp
    triangular_solve = _solving.triangular_solve
    cholesky_solve = _solving.cholesky_solve
    lu = _solving.old_lu
    lu_solve = _solving.old_lu_solve

    # ops/products.py
    trace = _products.trace
    cross = _products.cross
    dist = _products.dist
    kron = _products.kron
    addmv = _products.addmv
    addr = _products.addr
    baddbmm = _products.baddbmm
    addbmm = _products.addbmm
    cov = _products.cov
    corrcoef = _products.corrcoef

    # ops/indexing.py
    gather = _indexing.gather
    scatter = _indexing.scatter
    scatter_add = _indexing.scatter_add
    scatter_reduce = _scattering.scatter_reduce
    put = _scattering.put
    index_put = _scattering.index_put
    masked_scatter = _scattering.masked_scatter
    index_select = _indexing.index_select
    take = _indexing.take
    take_along_dim = _indexing.take_along_dim
    masked_fill = _indexing.masked_fill
    masked_select = _indexing.masked_select
    nonzero = _indexing.nonzero
    argwhere = _indexing.argwhere
    unique = _indexing.unique

    # ops/create.py
    new = _create.new
    new_tensor = _create.new_tensor
    new_zeros = _create.new_zeros
    new_ones = _create.new_ones
    new_empty = _create.new_empty
    new_full = _create.new_full

    # ops/random.py
    bernoulli = _random.bernoulli
    multinomial = _random.multinomial

    # ops/windows.py
    moveaxis = _windows.moveaxis
    adjoint = _windows.adjoint
    conj = _windows.conj
    as_strided = _windows.as_strided
    diag_embed = _windows.diag_embed
    diagflat = _windows.diagflat
    select_scatter = _windows.select_scatter
    slice_scatter = _windows.slice_scatter
    diagonal_scatter = _windows.diagonal_scatter

    # ops/order.py
    kthvalue = _order.kthvalue
    mode = _order.mode
    nanmedian = _order.nanmedian
    msort = _order.msort
    aminmax = _order.aminmax
    unique_consecutive = _order.unique_consecutive

    # ops/special.py
    digamma = _special.digamma
    erfc = _special.erfc
    erfinv = _special.erfinv
    i0 = _special.i0
    lgamma = _special.lgamma
    mvlgamma = _special.mvlgamma

    # ops/sums.py
    renorm = _sums.renorm
    sum_to_size = _sums.sum_to_size

    # Other names for the same.
    subtract = _arithmetic.sub
    multiply = _arithmetic.mul
    divide = _arithmetic.div
    true_divide = _arithmetic.div
    negative = _arithmetic.neg
    absolute = _arithmetic.abs
    clip = _arithmetic.clamp
    greater = _compare.gt
    greater_equal = _compare.ge
    less = _compare.lt
    less_equal = _compare.le
    not_equal = _compare.ne

    def where(self: Any, condition: Any, other: Any) -> Tensor:
        """x where the condition holds, else y."""
        return _arithmetic.where(condition, self, other)
