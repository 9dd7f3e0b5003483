"""Optimisers, and learning-rate schedules in `optim.lr_scheduler`."""

from minigrad.optim import lr_scheduler
from minigrad.optim.adafactor import Adafactor
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.adam_family import Adamax, NAdam, RAdam
from minigrad.optim.adaptive import Adadelta, Adagrad, RMSprop
from minigrad.optim.classic import ASGD, Rprop
from minigrad.optim.lbfgs import LBFGS
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.sgd import SGD

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "Rprop", "lr_scheduler",
]  # fmt: skip
