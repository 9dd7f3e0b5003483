"""The compiled kernels: the functions of reference for float32 and float64.

Nothing is compiled before it is called; what was compiled is kept on disk (NUMBA_CACHE_DIR moves
it).
"""

from minigrad.kernels.compiled.conv import conv2d as conv2d
from minigrad.kernels.compiled.conv import conv2d_input_grad as conv2d_input_grad
from minigrad.kernels.compiled.conv import conv2d_weight_grad as conv2d_weight_grad
from minigrad.kernels.compiled.losses import cross_entropy as cross_entropy
from minigrad.kernels.compiled.losses import cross_entropy_backward as cross_entropy_backward
from minigrad.kernels.compiled.norm import batch_norm as batch_norm
from minigrad.kernels.compiled.norm import batch_norm_backward as batch_norm_backward
from minigrad.kernels.compiled.norm import group_norm as group_norm
from minigrad.kernels.compiled.norm import group_norm_backward as group_norm_backward
from minigrad.kernels.compiled.norm import moments as moments
from minigrad.kernels.compiled.norm import normalize as normalize
from minigrad.kernels.compiled.norm import normalize_backward as normalize_backward
from minigrad.kernels.compiled.norm_rows import layer_norm as layer_norm
from minigrad.kernels.compiled.norm_rows import layer_norm_backward as layer_norm_backward
from minigrad.kernels.compiled.norm_rows import rms_norm as rms_norm
from minigrad.kernels.compiled.norm_rows import rms_norm_backward as rms_norm_backward
from minigrad.kernels.compiled.pool import avg_pool2d as avg_pool2d
from minigrad.kernels.compiled.pool import avg_pool2d_backward as avg_pool2d_backward
from minigrad.kernels.compiled.pool import max_pool2d as max_pool2d
from minigrad.kernels.compiled.pool import max_pool2d_backward as max_pool2d_backward
from minigrad.kernels.compiled.products import product as product
from minigrad.kernels.compiled.recurrent import gru as gru
from minigrad.kernels.compiled.recurrent import gru_backward as gru_backward
from minigrad.kernels.compiled.recurrent import lstm as lstm
from minigrad.kernels.compiled.recurrent import lstm_backward as lstm_backward
from minigrad.kernels.compiled.recurrent import rnn as rnn
from minigrad.kernels.compiled.recurrent import rnn_backward as rnn_backward
from minigrad.kernels.compiled.relu import relu as relu
from minigrad.kernels.compiled.relu import relu_backward as relu_backward
from minigrad.kernels.compiled.steps import adam_step_ as adam_step_
from minigrad.kernels.compiled.steps import add_at_ as add_at_
from minigrad.kernels.compiled.steps import move_stats_ as move_stats_
from minigrad.kernels.compiled.steps import sgd_step_ as sgd_step_
