"""Small neural networks, trained fast on the CPU or any GPU.

`MLPClassifier` and `MLPRegressor` are estimators for scikit-learn, of which `fit_many` trains many at once; `nn`, `optim` and
`Trainer` build and train other networks from NumPy's arrays.
"""

from . import nn, optim
from ._wgrad import DeviceLost, InternalError, NoDevice, NotFinite, devices
from .classifier import MLPClassifier
from .many import fit_many
from .regressor import MLPRegressor
from .trainer import History, Trainer
from .tuning import SearchResult, search

__version__ = "0.1.0"

__all__ = [
    "DeviceLost",
    "History",
    "InternalError",
    "MLPClassifier",
    "MLPRegressor",
    "NoDevice",
    "NotFinite",
    "SearchResult",
    "Trainer",
    "devices",
    "fit_many",
    "nn",
    "optim",
    "search",
]
