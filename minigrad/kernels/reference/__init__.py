"""The reference kernels: plain numpy, arrays in and arrays out, written to be read.

Conventions, shared with the compiled kernels (same chapters, names, signatures, returns):

- g is the gradient of the loss with respect to a kernel's output, d<name> with respect to <name>;
- kernels are pure; only names that end in an underscore change their arguments;
- results have the dtype of x. Statistics, and sums that run over a batch, have the accumulator
  dtype, result_type(x, float64);
- everything also works in complex128, which is how derivatives are checked: a complex number is a
  value with its derivative riding along in the imaginary part. So every choice (>, max, argmax)
  looks at the real part only, and no function that is not analytic (abs, conj) is used.
"""

from minigrad.kernels.reference.conv import conv2d as conv2d
from minigrad.kernels.reference.conv import conv2d_input_grad as conv2d_input_grad
from minigrad.kernels.reference.conv import conv2d_weight_grad as conv2d_weight_grad
from minigrad.kernels.reference.losses import cross_entropy as cross_entropy
from minigrad.kernels.reference.losses import cross_entropy_backward as cross_entropy_backward
from minigrad.kernels.reference.norm import batch_norm as batch_norm
from minigrad.kernels.reference.norm import batch_norm_backward as batch_norm_backward
from minigrad.kernels.reference.norm import group_norm as group_norm
from minigrad.kernels.reference.norm import group_norm_backward as group_norm_backward
from minigrad.kernels.reference.norm import layer_norm as layer_norm
from minigrad.kernels.reference.norm import layer_norm_backward as layer_norm_backward
from minigrad.kernels.reference.norm import moments as moments
from minigrad.kernels.reference.norm import normalize as normalize
from minigrad.kernels.reference.norm import normalize_backward as normalize_backward
from minigrad.kernels.reference.norm import rms_norm as rms_norm
from minigrad.kernels.reference.norm import rms_norm_backward as rms_norm_backward
from minigrad.kernels.reference.pool import avg_pool2d as avg_pool2d
from minigrad.kernels.reference.pool import avg_pool2d_backward as avg_pool2d_backward
from minigrad.kernels.reference.pool import max_pool2d as max_pool2d
from minigrad.kernels.reference.pool import max_pool2d_backward as max_pool2d_backward
from minigrad.kernels.reference.products import product as product
from minigrad.kernels.reference.recurrent import gru as gru
from minigrad.kernels.reference.recurrent import gru_backward as gru_backward
from minigrad.kernels.reference.recurrent import lstm as lstm
from minigrad.kernels.reference.recurrent import lstm_backward as lstm_backward
from minigrad.kernels.reference.recurrent import rnn as rnn
from minigrad.kernels.reference.recurrent import rnn_backward as rnn_backward
from minigrad.kernels.reference.relu import relu as relu
from minigrad.kernels.reference.relu import relu_backward as relu_backward
from minigrad.kernels.reference.steps import adam_step_ as adam_step_
from minigrad.kernels.reference.steps import add_at_ as add_at_
from minigrad.kernels.reference.steps import move_stats_ as move_stats_
from minigrad.kernels.reference.steps import sgd_step_ as sgd_step_
