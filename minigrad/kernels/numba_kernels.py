"""The compiled kernels: the functions of numpy_kernels for float32 and float64.

They live in chapters, because numba's cache on disk does not notice changes in other files, so
functions that call each other stay together. Nothing is compiled before it is called; what was
compiled is kept on disk (NUMBA_CACHE_DIR moves it).
"""

from .numba_images import (
    avg_pool2d,
    avg_pool2d_backward,
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    max_pool2d,
    max_pool2d_backward,
)
from .numba_norm import (
    batch_norm,
    batch_norm_backward,
    layer_norm,
    layer_norm_backward,
    moments,
    normalize,
    normalize_backward,
    rms_norm,
    rms_norm_backward,
)
from .numba_rows import (
    adam_step_,
    add_at_,
    cross_entropy,
    cross_entropy_backward,
    sgd_step_,
)
from .numpy_kernels import __all__ as __all__
