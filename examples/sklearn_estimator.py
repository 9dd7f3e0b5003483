"""A network inside scikit-learn's Pipeline and GridSearchCV: which preparation, which layers?

The data are scikit-learn's 1,797 digits of 8 x 8 pixels. A fifth of them is held out; on the rest
the search compares preparations of minigrad.data, with and without batch normalisation, each by
cross-validation in three parts. The held-out images are classified once, at the end.

    python examples/sklearn_estimator.py [--quick] [--kernels numpy|numba] [--epochs N] [--seed N]
                                         [--out DIR]

writes DIR/sklearn_estimator.png: the error of every combination.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.nn import functional as F
from support import COLOURS, marked, parse_flags, save_figure


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fully connected network as a classifier of scikit-learn's.

    The constructor only keeps its arguments, under their names: `clone` and `set_params` rely on
    it. Everything that is learnt ends in an underscore.
    """

    def __init__(self, hidden=64, batch_norm=True, lr=0.1, epochs=10, batch_size=64, seed=0):
        self.hidden = hidden
        self.batch_norm = batch_norm
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, X, y):
        X, y = validate_data(self, X, y)  # arrays, finite, of the same length
        check_classification_targets(y)  # labels, not measurements
        self.classes_, numbers = np.unique(y, return_inverse=True)
        mg.manual_seed(self.seed)
        layers: list[nn.Module] = [nn.Linear(X.shape[1], self.hidden)]
        if self.batch_norm:
            layers.append(nn.BatchNorm1d(self.hidden))
        self.network_ = nn.Sequential(
            *layers, nn.ReLU(), nn.Linear(self.hidden, len(self.classes_))
        )
        loader = data.DataLoader(
            data.TensorDataset(X.astype(np.float32), numbers),
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=len(X) > self.batch_size,  # a last batch of one has no variance
            seed=self.seed,
        )
        optimizer = optim.SGD(self.network_.parameters(), lr=self.lr, momentum=0.9)
        for _ in range(self.epochs):
            for x, target in loader:
                loss = F.cross_entropy(self.network_(x), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.network_.eval()
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        with mg.no_grad():
            return F.softmax(self.network_(mg.tensor(X, dtype=mg.float32)), dim=1).numpy()

    def predict(self, X):
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


PREPARATIONS = {
    "raw": "passthrough",
    "min-max": data.MinMax(),
    "standardised": data.Standardize(),
    "PCA-whitened": data.Whiten("pca", eps=0.1),
}
LOOK: dict[str, dict[str, Any]] = {
    "plain": {"fmt": "o", "color": COLOURS["orange"]},
    "batch normalisation": {"fmt": "s", "color": COLOURS["blue"]},
}


def search(x: np.ndarray, y: np.ndarray, epochs: int, seed: int) -> GridSearchCV:
    steps = [("prepare", None), ("classify", NetworkClassifier(epochs=epochs, seed=seed))]
    grid = {"classify__batch_norm": [False, True], "prepare": list(PREPARATIONS.values())}
    return GridSearchCV(Pipeline(steps), grid, cv=3).fit(x, y)


def draw(found: GridSearchCV) -> Figure:
    errors = 100 - 100 * found.cv_results_["mean_test_score"].reshape(2, -1)
    spreads = 100 * found.cv_results_["std_test_score"].reshape(2, -1)
    prepared = errors[:, 1:]
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    figure.suptitle(
        f"Raw digits: {errors[0, 0]:.1f} % wrong, with batch normalisation {errors[1, 0]:.1f} %;\n"
        f"prepared ones: {prepared.min():.1f} to {prepared.max():.1f} % with or without it",
        fontsize=13, fontweight="bold",
    )  # fmt: skip
    axes: Any = figure.subplots()
    at = np.arange(len(PREPARATIONS))
    for i, (name, look) in enumerate(LOOK.items()):
        below = np.minimum(spreads[i], 0.9 * errors[i])  # a logarithmic axis has no 0
        axes.errorbar(
            at + 0.1 * i - 0.05, errors[i], [below, spreads[i]], **look, ms=7, capsize=4, label=name
        )
    axes.set_yscale("log")
    axes.set_yticks(ticks := (1, 2, 5, 10, 20, 50, 100), [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xticks(at, list(PREPARATIONS))
    axes.set_xlim(-0.5, len(at) - 0.5)
    axes.set_ylabel("error in cross-validation (%)")
    axes.set_title("Mean and standard deviation of three parts", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    flags = parse_flags(__doc__, epochs=15, quick_epochs=2)
    images, labels = data.digits()
    x_train, x_test, y_train, y_test = train_test_split(
        16 * images.reshape(-1, 64), labels, test_size=0.2, stratify=labels, random_state=0
    )
    found = search(x_train, y_train, flags.epochs, flags.seed)
    best = found.best_params_
    prepared = next(k for k, v in PREPARATIONS.items() if repr(v) == repr(best["prepare"]))
    print(found.best_estimator_)
    print(f"wrote {save_figure(flags, draw(found))}")
    norm = "batch normalisation" if best["classify__batch_norm"] else "no batch normalisation"
    print(
        marked(
            flags,
            f"Best of {len(found.cv_results_['params'])}: {prepared} inputs, {norm}; "
            f"{100 * found.best_score_:.1f} % in cross-validation, "
            f"{100 * found.score(x_test, y_test):.1f} % held out.",
        )
    )


if __name__ == "__main__":
    main()
