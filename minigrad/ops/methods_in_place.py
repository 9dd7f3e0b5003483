"""Tensor's methods that change it in place; see `methods.py`."""

from __future__ import annotations

from minigrad.ops import inplace as _inplace
from minigrad.ops.operators import Operators


class InPlace(Operators):
    """Tensor's methods that end in an underscore."""

    __slots__ = ()

    add_ = _inplace.add_
    sub_ = _inplace.sub_
    mul_ = _inplace.mul_
    div_ = _inplace.div_
    floor_divide_ = _inplace.floor_divide_
    remainder_ = _inplace.remainder_
    neg_ = _inplace.neg_
    pow_ = _inplace.pow_
    square_ = _inplace.square_
    exp_ = _inplace.exp_
    expm1_ = _inplace.expm1_
    log_ = _inplace.log_
    log2_ = _inplace.log2_
    log10_ = _inplace.log10_
    log1p_ = _inplace.log1p_
    sqrt_ = _inplace.sqrt_
    rsqrt_ = _inplace.rsqrt_
    reciprocal_ = _inplace.reciprocal_
    sin_ = _inplace.sin_
    cos_ = _inplace.cos_
    abs_ = _inplace.abs_
    clamp_ = _inplace.clamp_
    lerp_ = _inplace.lerp_
    addcmul_ = _inplace.addcmul_
    addcdiv_ = _inplace.addcdiv_
    sign_ = _inplace.sign_
    sgn_ = _inplace.sgn_
    floor_ = _inplace.floor_
    ceil_ = _inplace.ceil_
    trunc_ = _inplace.trunc_
    round_ = _inplace.round_
    relu_ = _inplace.relu_
    sigmoid_ = _inplace.sigmoid_
    tanh_ = _inplace.tanh_
    erf_ = _inplace.erf_
    erfinv_ = _inplace.erfinv_
    lgamma_ = _inplace.lgamma_
    digamma_ = _inplace.digamma_
    i0_ = _inplace.i0_
    cumsum_ = _inplace.cumsum_
    cumprod_ = _inplace.cumprod_
    triu_ = _inplace.triu_
    tril_ = _inplace.tril_
    addmm_ = _inplace.addmm_
    index_fill_ = _inplace.index_fill_
    index_add_ = _inplace.index_add_
    index_copy_ = _inplace.index_copy_
    masked_fill_ = _inplace.masked_fill_
    scatter_ = _inplace.scatter_
    scatter_add_ = _inplace.scatter_add_
    scatter_reduce_ = _inplace.scatter_reduce_
    put_ = _inplace.put_
    index_put_ = _inplace.index_put_
    masked_scatter_ = _inplace.masked_scatter_
    bitwise_and_ = _inplace.bitwise_and_
    bitwise_or_ = _inplace.bitwise_or_
    bitwise_xor_ = _inplace.bitwise_xor_
    bitwise_not_ = _inplace.bitwise_not_
    fill_ = _inplace.fill_
    zero_ = _inplace.zero_
    copy_ = _inplace.copy_
    uniform_ = _inplace.uniform_
    normal_ = _inplace.normal_
    bernoulli_ = _inplace.bernoulli_
    log_normal_ = _inplace.log_normal_
    cauchy_ = _inplace.cauchy_
    geometric_ = _inplace.geometric_
    exponential_ = _inplace.exponential_
    random_ = _inplace.random_
