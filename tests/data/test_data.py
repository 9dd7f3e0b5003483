"""Loading batches, preprocessing, reading the examples' data, saving and loading files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import threading
import time
import types
import urllib.parse
import urllib.request
import warnings
import zipfile
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, data
from minigrad.data import DataLoader, Subset, TensorDataset, random_split, sources


def numbered(n):
    """n samples: a row of two numbers, and its own number."""
    return TensorDataset(np.arange(2.0 * n).reshape(n, 2), minigrad.arange(n))


def order(loader):
    return [i for _, y in loader for i in y.tolist()]


class Asked(data.Dataset):
    """Has samples only one by one."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        assert type(index) is int
        return self.samples[index]


class TestDataLoader:
    def test_batches_are_rows_of_the_tensors(self):
        loader = DataLoader(numbered(7), 3, shuffle=True, drop_last=True, seed=1)
        batches = list(loader)
        assert len(batches) == len(loader) == 2
        for x, y in batches:
            assert isinstance(x, Tensor)
            assert x.shape == (3, 2)
            assert x.dtype == np.float64
            assert y.dtype == np.int64
            np.testing.assert_array_equal(x.array[:, 0], 2 * y.array)
            np.testing.assert_array_equal(x.array[:, 1], 2 * y.array + 1)

    @pytest.mark.parametrize(("n", "size", "drop", "sizes"), [
        (6, 3, False, [3, 3]), (8, 3, False, [3, 3, 2]), (8, 3, True, [3, 3]),
        (2, 3, False, [2]), (2, 3, True, []), (0, 3, False, []), (3, 1, False, [1, 1, 1]),
    ])  # fmt: skip
    def test_lengths(self, n, size, drop, sizes):
        loader = DataLoader(numbered(n), size, drop_last=drop)
        assert len(loader) == len(sizes)
        assert [len(y) for _, y in loader] == sizes
        assert order(loader) == list(range(sum(sizes)))

    def test_every_epoch_has_an_order_of_its_own_that_follows_from_the_seed(self):
        one, two = (DataLoader(numbered(50), 10, shuffle=True, seed=3) for _ in range(2))
        epochs = [order(one) for _ in range(3)]
        assert epochs == [order(two) for _ in range(3)]
        assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
        assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
        three = DataLoader(numbered(50), 10, shuffle=True, seed=3)
        three.epoch = 2
        assert order(three) == epochs[2]
        assert order(DataLoader(numbered(50), 10, shuffle=True, seed=4)) != epochs[0]

    def test_without_a_seed_manual_seed_decides(self):
        orders = []
        for seed in (5, 5, 6):
            minigrad.manual_seed(seed)
            orders.append(order(DataLoader(numbered(50), 10, shuffle=True)))
        assert orders[0] == orders[1] != orders[2]

    def test_two_passes_at_once(self):
        loader = DataLoader(numbered(4), 2)
        a, b = iter(loader), iter(loader)
        assert next(a)[1].tolist() == next(b)[1].tolist() == [0, 1]

    def test_datasets_of_many_kinds_agree_with_pytorch(self):
        torch = pytest.importorskip("torch")
        Point = namedtuple("Point", "x y")
        kinds = [
            lambda m: Asked([{"a": (i, float(i)), "b": [m.ones(2) * i, "text"]} for i in range(4)]),
            lambda m: Asked([Point(np.float32(i), np.full((2, 1), i)) for i in range(4)]),
            lambda m: Asked([i > 1 for i in range(4)]),
            lambda m: Asked([m.tensor(float(i)) for i in range(4)]),
            lambda m: m.arange(8).reshape(4, 2),
            lambda m: np.arange(8).reshape(4, 2),
            lambda m: [0.5, 1.5, 2.5, 3.5],
        ]

        def same(ours, theirs):
            if isinstance(theirs, torch.Tensor):
                assert isinstance(ours, Tensor)
                assert str(theirs.dtype) == f"torch.{ours.dtype}"
                np.testing.assert_array_equal(ours.array, theirs.numpy())
            elif isinstance(theirs, dict):
                assert list(ours) == list(theirs)
                for key in theirs:
                    same(ours[key], theirs[key])
            elif isinstance(theirs, list | tuple):
                assert isinstance(ours, list | tuple)
                assert getattr(ours, "_fields", None) == getattr(theirs, "_fields", None)
                for a, b in zip(ours, theirs, strict=True):
                    same(a, b)
            else:
                assert ours == theirs

        for make in kinds:
            ours = list(DataLoader(make(minigrad), 2))
            theirs = list(torch.utils.data.DataLoader(make(torch), 2))
            same(ours, theirs)

    def test_a_dataset_of_tensors_that_require_grad(self):
        x = minigrad.ones(4, requires_grad=True)
        for dataset in (TensorDataset(x), Asked([x[i] for i in range(4)])):
            x.grad = None
            batches = list(DataLoader(dataset, 2))
            for batch in batches:
                (batch[0] if isinstance(batch, list) else batch).sum().backward()
            assert x.grad.tolist() == [1, 1, 1, 1]

    def test_sampler_and_collate_fn(self):
        loader = DataLoader(numbered(5), 2, sampler=[4, 0, 2], collate_fn=len, drop_last=True)
        assert list(loader) == [2]
        assert order(DataLoader(numbered(5), 2, sampler=[4, 0, 2, 2])) == [4, 0, 2, 2]
        assert order(DataLoader(numbered(5), 2, sampler=iter([1, 0]))) == [1, 0]

    @pytest.mark.parametrize(("n", "size", "drop", "warned"), [
        (7, 3, False, True), (7, 3, True, False), (6, 3, False, False), (1, 3, False, True),
        (7, 1, False, False),
    ])  # fmt: skip
    def test_warns_once_of_a_last_batch_of_one_sample(self, n, size, drop, warned):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loader = DataLoader(numbered(n), size, drop_last=drop)
            list(loader)
            list(loader)
        assert len(caught) == warned
        if warned:
            assert caught[0].category is UserWarning
            assert "drop_last=True" in str(caught[0].message)
            assert caught[0].filename == __file__

    @pytest.mark.parametrize("workers", [1, 3])
    def test_workers_make_the_same_batches_in_the_same_order(self, workers):
        class Slow(Asked):
            def __getitem__(self, index):
                time.sleep(0.002 * (index % 3))  # later batches are often ready first
                return super().__getitem__(index)

        for dataset in (numbered(23), Slow([(i, i) for i in range(23)])):
            settings = {"shuffle": True, "seed": 1, "drop_last": True}
            alone = DataLoader(dataset, 2, **settings)
            helped = DataLoader(dataset, 2, num_workers=workers, **settings)
            for _ in range(2):
                assert order(helped) == order(alone)

    def test_batches_are_made_ahead_on_other_threads(self):
        made = {}
        ready = threading.Event()

        class Watched(Asked):
            def __getitem__(self, index):
                made[index] = threading.current_thread(), minigrad.is_grad_enabled()
                if index == 1:
                    ready.set()
                return super().__getitem__(index)

        with minigrad.no_grad():
            batches = iter(DataLoader(Watched(list(range(50))), num_workers=1))
            next(batches)
        assert ready.wait(10)  # the second, although nobody has asked for it yet
        assert made[0] == (made[1][0], False)  # in the caller's grad mode
        assert made[0][0] is not threading.current_thread()
        batches.close()
        assert len(made) < 6  # not far ahead

    def test_an_exception_in_a_worker_is_raised_at_its_batch(self):
        class Spoilt(Asked):
            def __getitem__(self, index):
                if index == 5:
                    raise OSError("sample 5 cannot be read")
                return super().__getitem__(index)

        before = threading.active_count()
        seen = []
        with pytest.raises(OSError, match="sample 5"):
            for batch in DataLoader(Spoilt(list(range(20))), 2, num_workers=2):
                seen += batch.tolist()
        assert seen == [0, 1, 2, 3]
        assert threading.active_count() == before

    def test_no_thread_is_left_behind(self):
        before = threading.active_count()
        loader = DataLoader(Asked(list(range(200))), 2, num_workers=3)
        for i, _ in enumerate(loader):
            assert threading.active_count() > before
            if i == 2:
                break
        assert threading.active_count() == before
        assert len(list(loader)) == 100
        assert threading.active_count() == before

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: DataLoader(numbered(4), 2, num_workers=-1), ValueError, "at least 0, got -1"),
            (lambda: DataLoader(numbered(4), 2, num_workers=True), TypeError, "num_workers"),
            (lambda: DataLoader(3), TypeError, "dataset is a int"),
            (lambda: DataLoader(numbered(4), 0), ValueError, "at least 1, got 0"),
            (lambda: DataLoader(numbered(4), 2.0), TypeError, "integer"),
            (lambda: DataLoader(numbered(4), 2, True, sampler=[0]), ValueError, "shuffle"),
            (lambda: TensorDataset(), ValueError, "at least one"),
            (lambda: TensorDataset([1.0]), TypeError, "argument 0 is a list"),
            (lambda: TensorDataset(np.ones(3), np.ones(4)), ValueError, r"\[3, 4\]"),
            (lambda: TensorDataset(np.ones(())), ValueError, "no axis"),
            (lambda: Subset(numbered(3), [0, 3]), IndexError, "0 to 3 for a dataset of 3"),
            (lambda: Subset(numbered(3), [0.5]), TypeError, "integer"),
            (lambda: random_split(numbered(5), [2, 2]), ValueError, "add up to 5"),
            (lambda: random_split(numbered(5), [-1, 6]), ValueError, "negative"),
            (lambda: list(DataLoader([[1, 2], [3]], 2)), ValueError, "sample 1.*differs"),
            (
                lambda: list(DataLoader([np.ones(2), np.ones(3)], 2)),
                ValueError,
                r"sample 1.*\(3,\) and \(2,\)",
            ),
            (lambda: list(DataLoader([{"a": 1}, {"b": 1}], 2)), ValueError, "sample 1"),
            (lambda: list(DataLoader([object()] * 2, 2)), TypeError, "samples of object"),
        ],
    )
    def test_refuses(self, make, error, message):
        with pytest.raises(error, match=message):
            make()

    def test_random_split(self):
        parts = random_split(numbered(10), [0.55, 0.45], seed=1)
        assert [len(p) for p in parts] == [6, 4]
        numbers = [order(DataLoader(p, 2)) for p in parts]
        assert sorted(numbers[0] + numbers[1]) == list(range(10))
        again = random_split(numbered(10), [6, 4], seed=1)
        assert numbers == [order(DataLoader(p, 2)) for p in again]
        assert [len(p) for p in random_split(numbered(10), [1.0])] == [10]
        assert [len(p) for p in random_split(numbered(1), [1])] == [1]

    def test_a_subset_of_a_subset(self):
        subset = Subset(Subset(numbered(10), range(2, 8)), np.array([5, 0, -1]))
        assert order(DataLoader(subset, 2, drop_last=True)) == [7, 2]
        assert [subset[i][1].item() for i in range(3)] == [7, 2, 7]
        assert len(Subset(numbered(3), [])) == 0


def correlated(n=200, dtype=float):
    """Three features of different scale, two of them correlated."""
    rng = np.random.default_rng(0)
    mix = np.array([[2, 0, 0], [1, 0.1, 0], [0, 0, 50]])
    return (rng.standard_normal((n, 3)) @ mix + [5, -3, 1e3]).astype(dtype)


KINDS = {
    "Standardize": data.Standardize,
    "MinMax": lambda: data.MinMax((-1, 1)),
    "Whiten pca": lambda: data.Whiten("pca"),
    "Whiten zca": lambda: data.Whiten("zca"),
    "Whiten damped": lambda: data.Whiten("zca", eps=0.1),
    "ClipOutliers": lambda: data.ClipOutliers(2),
}


class TestPreprocessing:
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_arrays_and_tensors_in_their_dtype(self, kind, dtype):
        x = correlated(dtype=dtype)
        before = x.copy()
        p = KINDS[kind]()
        z = p.fit_transform(x)
        np.testing.assert_array_equal(x, before)
        assert z.dtype == x.dtype
        assert z.shape == x.shape
        t = p.transform(Tensor(x))
        assert isinstance(t, Tensor)
        np.testing.assert_array_equal(t.array, z)
        if kind != "ClipOutliers":
            back = p.inverse_transform(z)
            np.testing.assert_allclose(back, x, rtol=1e-5 if dtype == "f4" else 1e-12)
            assert isinstance(p.inverse_transform(t), Tensor)

    def test_integers_become_float32(self):
        z = data.Standardize().fit_transform(np.arange(10, dtype=np.uint8).reshape(5, 2))
        assert z.dtype == np.float32

    @pytest.mark.parametrize("kind", KINDS)
    def test_samples_of_any_shape(self, kind):
        x = correlated(240)
        flat = KINDS[kind]().fit_transform(x.reshape(40, 18))
        shaped = KINDS[kind]().fit_transform(x.reshape(40, 3, 6))
        np.testing.assert_allclose(shaped.reshape(40, 18), flat, atol=1e-9)

    def test_against_scikit_learn(self):
        preprocessing = pytest.importorskip("sklearn.preprocessing")
        from sklearn.decomposition import PCA

        x, new = correlated(), correlated(50) * 2
        for ours, theirs in (
            (data.Standardize(), preprocessing.StandardScaler()),
            (data.MinMax((-1, 2)), preprocessing.MinMaxScaler((-1, 2))),
        ):
            np.testing.assert_allclose(ours.fit_transform(x), theirs.fit_transform(x), atol=1e-12)
            np.testing.assert_allclose(ours.transform(new), theirs.transform(new), atol=1e-12)
            np.testing.assert_allclose(
                ours.inverse_transform(new), theirs.inverse_transform(new), atol=1e-9
            )
        ours = data.Whiten("pca").fit(x).transform(new)
        theirs = PCA(whiten=True).fit(x).transform(new) * np.sqrt(200 / 199)  # n, not n - 1
        np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)

    @pytest.mark.parametrize("kind", ["pca", "zca"])
    def test_whitened_data_have_unit_covariance(self, kind):
        z = data.Whiten(kind).fit_transform(correlated())
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=1e-12)

    def test_zca_is_symmetric_and_pca_orders_by_variance(self):
        x = correlated()
        w = data.Whiten("zca").fit(x)
        matrix = w.transform(np.eye(3) + w.mean_)
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
        assert (np.diff(data.Whiten().fit(x).variances_) < 0).all()

    def test_eps_damps(self):
        x = correlated()
        w = data.Whiten("pca", eps=0.5)
        z = w.fit_transform(x)
        np.testing.assert_allclose(z.var(0), w.variances_ / (w.variances_ + 0.5))

    @pytest.mark.parametrize("kind", ["pca", "zca"])
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("eps", [0.0, 1e-3])
    def test_rank_deficient_data(self, kind, dtype, eps):
        rng = np.random.default_rng(1)
        a = rng.standard_normal((500, 2))
        x = np.column_stack([a, a[:, 0] + 2 * a[:, 1], np.full(500, 7.0)]).astype(dtype)
        w = data.Whiten(kind, eps)
        z = w.fit_transform(x)
        assert w.rank_ == 2
        assert np.isfinite(z).all()
        values = np.linalg.eigvalsh(np.cov(z.T.astype(float), bias=True))
        np.testing.assert_allclose(values, [0, 0, 1, 1], atol=1e-6 + 2 * eps)
        np.testing.assert_allclose(w.inverse_transform(z), x, rtol=1e-4, atol=1e-5)

    def test_fewer_samples_than_features(self):
        x = np.random.default_rng(0).standard_normal((5, 20))
        w = data.Whiten("zca")
        z = w.fit_transform(x)
        assert w.rank_ == 4
        np.testing.assert_allclose(w.inverse_transform(z), x, atol=1e-12)

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_constant_features(self, dtype):
        x = np.full((7, 2), 0.1, dtype)
        x[:, 1] = np.arange(7)
        for kind, expected in (("Standardize", 0), ("MinMax", -1), ("Whiten zca", 0)):
            p = KINDS[kind]()
            z = p.fit_transform(x)
            np.testing.assert_allclose(z[:, 0], expected, atol=1e-15)
            np.testing.assert_allclose(p.inverse_transform(z), x, rtol=1e-6)

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_min_max_is_exact_at_the_ends(self, dtype):
        x = correlated(dtype=dtype)
        z = data.MinMax((0.1, 0.7)).fit_transform(x)
        assert (z.min(0) == np.dtype(dtype).type(0.1)).all()
        assert (z.max(0) == np.dtype(dtype).type(0.7)).all()

    def test_clip_outliers_names_what_it_clips(self):
        x = np.random.default_rng(0).standard_normal((1000, 2))
        x[3, 1] = 100
        clip = data.ClipOutliers(5)
        z = clip.fit_transform(x)
        mask = clip.outliers(x)
        assert mask.sum() == mask[3, 1] == 1
        assert z[3, 1] == clip.high_[1] < 100
        np.testing.assert_array_equal(z[~mask], x[~mask])

    @pytest.mark.parametrize(
        ("run", "error", "message"),
        [
            (lambda: data.Standardize().transform(np.ones((2, 2))), RuntimeError, "call fit"),
            (lambda: data.Standardize().fit(np.ones((0, 2))), ValueError, "no samples"),
            (lambda: data.Whiten().fit(np.array([[1, np.nan]])), ValueError, "1 of 2 values"),
            (lambda: data.Standardize().fit(np.array(["a"])), TypeError, "real numbers"),
            (lambda: data.Standardize().fit(3.0), ValueError, "single number"),
            (lambda: data.Standardize().fit(np.ones((2, 2), complex)), ValueError, "complex128"),
            (lambda: data.Whiten().fit(np.ones((2, 0))), ValueError, r"0 feature\(s\)"),
            (
                lambda: data.MinMax().fit(np.eye(2)).transform([[1, np.inf]]),
                ValueError,
                "MinMax.transform: 1 of 2 values are NaN or infinite",
            ),
            (
                lambda: data.MinMax().fit(np.eye(2)).transform(np.ones(2)),
                ValueError,
                r"got an input of shape \(2,\)\. Reshape your data, one sample a row",
            ),
            (
                lambda: data.MinMax().fit(np.ones((2, 2))).transform(np.ones((2, 3))),
                ValueError,
                r"shape \(2,\).*\(2, 3\)",
            ),
            (
                lambda: data.MinMax().fit(minigrad.ones(2, 2, requires_grad=True)),
                RuntimeError,
                "detach",
            ),
            (lambda: data.MinMax((1, 1)), ValueError, "low < high"),
            (lambda: data.Whiten("pcr"), ValueError, "'pcr'"),
            (lambda: data.Whiten(eps=-1), ValueError, "eps"),
            (lambda: data.ClipOutliers(0), ValueError, "k must be"),
        ],
    )
    def test_refuses(self, run, error, message):
        with pytest.raises(error, match=message):
            run()

    def test_a_failing_fit_forgets_nothing(self):
        p = data.Standardize().fit(correlated())
        mean = p.mean_.copy()
        with pytest.raises(ValueError):
            p.fit(np.full((2, 3), np.inf))
        np.testing.assert_array_equal(p.mean_, mean)


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_mnist(folder, compress=gzip.compress, suffix=".gz", dash="-"):
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for part, n in (("train", 6), ("t10k", 4)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28))
        labels = np.arange(n)
        made[part] = images, labels
        (folder / f"{part}-images{dash}idx3-ubyte{suffix}").write_bytes(compress(idx(images)))
        (folder / f"{part}-labels{dash}idx1-ubyte{suffix}").write_bytes(compress(idx(labels)))
    return made


def pooch_from_files(retrieve):
    """pooch.retrieve that reads file: URLs, which pooch's own downloaders do not."""

    def download(url, output_file, pooch):
        shutil.copyfile(urllib.request.url2pathname(urllib.parse.urlparse(url).path), output_file)

    return lambda *args, **kwargs: retrieve(*args, downloader=download, **kwargs)


class TestSources:
    @pytest.mark.parametrize("below", ["", "mnist"])
    @pytest.mark.parametrize("way", [
        {}, {"compress": bytes, "suffix": ""}, {"compress": bytes, "suffix": "", "dash": "."},
    ])  # fmt: skip
    def test_mnist(self, tmp_path, monkeypatch, below, way):
        made = write_mnist(tmp_path / below, **way)
        for where in (tmp_path, str(tmp_path), None):
            if where is None:
                monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
            train, test = data.mnist(where)
            for (images, labels), part in ((train, "train"), (test, "t10k")):
                assert images.dtype == np.float32
                assert labels.dtype == np.int64
                np.testing.assert_array_equal(images[:, 0], (made[part][0] / 255).astype("f4"))
                np.testing.assert_array_equal(labels, made[part][1])

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda b: b[: len(b) // 2], "truncated"),
            (lambda b: b[:3], "truncated or corrupt"),
            (lambda b: b"", "not an IDX file"),
            (lambda b: b[:40] + bytes([b[40] ^ 255]) + b[41:], "corrupt"),
            (lambda b: gzip.compress(gzip.decompress(b)[:-5]), "truncated: expected 4720"),
            (lambda b: gzip.compress(gzip.decompress(b)[:9]), "truncated in its header"),
            (lambda b: gzip.compress(gzip.decompress(b) + b"more"), "corrupt: expected 4720"),
            (lambda b: gzip.compress(idx(np.zeros((3, 28, 28)))), "expected 3 labels"),
            (lambda b: gzip.compress(idx(np.zeros(6))), "expected images"),
            (lambda b: b"<html>403 Forbidden</html>", "not an IDX file"),
        ],
    )
    def test_spoilt_files(self, tmp_path, spoil, message):
        write_mnist(tmp_path)
        file = tmp_path / "train-images-idx3-ubyte.gz"
        file.write_bytes(spoil(file.read_bytes()))
        with pytest.raises(ValueError, match=message) as caught:
            data.mnist(tmp_path)
        assert "train-" in str(caught.value)

    def test_missing_files(self, tmp_path):
        write_mnist(tmp_path)
        (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
        with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
            data.mnist(tmp_path)

    @staticmethod
    def without_network(monkeypatch, tmp_path, retrieve):
        monkeypatch.delenv("MINIGRAD_DATA", raising=False)
        pooch = types.SimpleNamespace(retrieve=retrieve, os_cache=lambda name: tmp_path / name)
        monkeypatch.setitem(sys.modules, "pooch", pooch)

    def test_downloads_try_the_mirrors_with_a_checksum(self, tmp_path, monkeypatch):
        write_mnist(tmp_path / "minigrad" / "mnist")
        asked = []

        def retrieve(url, known_hash, fname, path):
            asked.append(url)
            assert known_hash.startswith("md5:")
            if "ossci" in url:
                raise ValueError("hash of downloaded file does not match")
            return str(path / fname)

        self.without_network(monkeypatch, tmp_path, retrieve)
        (images, _), _ = data.mnist()
        assert len(images) == 6
        assert len(asked) == 8

    def test_titanic_comes_from_the_cache_or_the_network(self, tmp_path, monkeypatch):
        (tmp_path / "minigrad").mkdir()
        (tmp_path / "minigrad" / "titanic.csv").write_text(self.ROWS)
        monkeypatch.chdir(tmp_path)

        def retrieve(url, known_hash, fname, path):
            assert known_hash.startswith("sha256:")
            assert url.endswith(fname)
            return str(path / fname)

        self.without_network(monkeypatch, tmp_path, retrieve)
        assert data.titanic()[1].tolist() == [0, 1]

    @pytest.mark.parametrize("source", [data.mnist, data.titanic])
    def test_a_failing_download_says_what_to_do(self, tmp_path, monkeypatch, source):
        def retrieve(url, *_, **__):
            raise OSError("no network")

        self.without_network(monkeypatch, tmp_path, retrieve)
        with pytest.raises(FileNotFoundError, match=r"MINIGRAD_DATA\n.*no network"):
            source()
        monkeypatch.setitem(sys.modules, "pooch", None)  # importing it fails now
        with pytest.raises(FileNotFoundError, match=r"needs the package pooch.*MINIGRAD_DATA"):
            source()

    def test_a_real_pooch_compares_the_checksum(self, tmp_path, monkeypatch):
        pooch = pytest.importorskip("pooch")
        monkeypatch.delenv("MINIGRAD_DATA", raising=False)
        monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
        (tmp_path / "titanic.csv").write_text(self.ROWS)  # complete, but not the file we know
        url = (tmp_path / "titanic.csv").as_uri()
        monkeypatch.setattr(sources, "TITANIC_URL", url)
        monkeypatch.setattr(pooch, "retrieve", pooch_from_files(pooch.retrieve))
        with pytest.raises(FileNotFoundError, match="hash of downloaded file"):
            data.titanic()
        assert not list((tmp_path / "minigrad").glob("*"))
        right = hashlib.sha256(self.ROWS.encode()).hexdigest()
        monkeypatch.setattr(sources, "TITANIC_SHA256", right)
        assert data.titanic()[1].tolist() == [0, 1]

    def test_digits(self):
        pytest.importorskip("sklearn")
        images, labels = data.digits()
        assert images.shape == (1797, 1, 8, 8)
        assert images.dtype == np.float32
        assert images.min() == 0
        assert images.max() == 1
        assert labels.dtype == np.int64
        assert set(labels) == set(range(10))

    ROWS = 'PassengerId,Survived,Pclass,Name,Age,Fare\n1,0,3,"A, B",22,7.25\n2,1,1,C,,71.3\n'

    def test_titanic(self, tmp_path, monkeypatch):
        file = tmp_path / "titanic.csv"
        file.write_text("\ufeff" + self.ROWS, encoding="utf-8")
        monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
        for where in (file, tmp_path, None):
            x, y = data.titanic(where)
            np.testing.assert_array_equal(x, np.array([[3, 7.25, 22], [1, 71.3, np.nan]], "f4"))
            assert x.dtype == np.float32
            assert y.tolist() == [0, 1]
        file.write_text(self.ROWS.lower())
        x, _ = data.titanic(file, columns=["Age"])
        np.testing.assert_array_equal(x, [[22], [np.nan]])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (ROWS[:-8], "passenger 2: expected 6 fields"),
            (ROWS.replace("71.3", "cheap"), "passenger 2, Fare: expected a number, got 'cheap'"),
            (ROWS.replace("Age", "Years"), "no column 'Age'"),
            (ROWS.replace("1,0,3", "1,2,3"), "0 or 1"),
            (ROWS.replace('B",', "B,"), "truncated or not a CSV"),
            ("", "no passengers"),
        ],
    )
    def test_spoilt_titanic(self, tmp_path, text, message):
        file = tmp_path / "t.csv"
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            data.titanic(file)
        with pytest.raises(FileNotFoundError, match=r"none\.csv"):
            data.titanic(tmp_path / "none.csv")


def saved(obj):
    file = io.BytesIO()
    minigrad.save(obj, file)
    return file.getvalue()


def same(a, b):
    """Whether two nested objects are equal in values, dtypes and kinds."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.requires_grad == b.requires_grad and same(a.array, b.array)
    if isinstance(a, np.ndarray | np.generic):
        equal = np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
        return equal and a.dtype == b.dtype and a.shape == b.shape
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


NESTED = {
    "numbers": [1, -(2**80), 2.5, -0.0, float("inf"), float("-inf"), 1 + 2j, True, None],
    "nan": float("nan"),
    3: ("tuple", ["list"], (), {}, OrderedDict()),
    (1, "x"): OrderedDict([("b", 1), ("a", 2)]),
    None: False,
    True: "ключ 열쇠 \n \ud7a3",
    "scalars": [np.float32(1.5), np.int8(-3), np.bool_(True), np.float64("nan")],
    "arrays": [
        np.arange(6).reshape(2, 3).astype(dtype)
        for dtype in ("?", "u1", "i2", "i8", "f2", "f4", "f8", "c16", ">f4")
    ],
    "shapes": [np.zeros((0, 3)), np.array(5.0), np.arange(12).reshape(3, 4).T[::2], np.array("s")],
    "tensors": [Tensor([1.0, 2.0], requires_grad=True), minigrad.tensor(3), Tensor([[True]])],
}


class TestFiles:
    def test_everything_comes_back(self, tmp_path):
        path = tmp_path / "x.mg"
        minigrad.save(NESTED, path)
        assert same(minigrad.load(path), NESTED)
        assert same(minigrad.load(str(path)), NESTED)
        assert same(minigrad.load(io.BytesIO(path.read_bytes())), NESTED)
        assert os.listdir(tmp_path) == ["x.mg"]

    def test_what_is_loaded_can_be_written(self):
        array, tensor = minigrad.load(io.BytesIO(saved([np.ones(3), Tensor([1.0])])))
        array += 1
        tensor += 1
        assert array.tolist() == [2, 2, 2]

    def test_numpy_reads_the_arrays(self, tmp_path):
        minigrad.save({"w": Tensor([1.0, 2.0])}, tmp_path / "x")
        with np.load(tmp_path / "x") as file:
            assert file["0"].tolist() == [1, 2]

    def test_a_model_and_its_state_dict(self, tmp_path):
        nn = minigrad.nn
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        minigrad.save(model.state_dict(), tmp_path / "m")
        state = minigrad.load(tmp_path / "m")
        assert isinstance(state, OrderedDict)
        assert same(state, model.state_dict())
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).load_state_dict(state)

    @pytest.mark.parametrize(
        ("obj", "error", "message"),
        [
            ({"a": [1, object()]}, TypeError, r"object\['a'\]\[1\] is a object"),
            ({"a": {1, 2}}, TypeError, "is a set"),
            (np.array([object()]), TypeError, "Python objects"),
            (Tensor([1.0], requires_grad=True) * 2, RuntimeError, "'mul'.*detach"),
            (namedtuple("P", "x")(1), TypeError, "is a P"),
        ],
    )
    def test_what_cannot_be_saved_leaves_the_old_file(self, tmp_path, obj, error, message):
        path = tmp_path / "x"
        minigrad.save(1, path)
        with pytest.raises(error, match=message):
            minigrad.save(obj, path)
        assert minigrad.load(path) == 1
        assert os.listdir(tmp_path) == ["x"]

    def test_cycles_and_depth(self):
        loop = []
        loop.append(loop)
        with pytest.raises(ValueError, match="contains itself"):
            saved(loop)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(ValueError, match="too deeply"):
            saved(deep)
        shared = [1]
        assert minigrad.load(io.BytesIO(saved([shared, shared]))) == [[1], [1]]

    def test_an_interrupted_save_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "x"
        minigrad.save(1, path)

        def fail(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(np.lib.format, "write_array", fail)
        with pytest.raises(KeyboardInterrupt):
            minigrad.save(np.ones(3), path)
        assert minigrad.load(path) == 1
        assert os.listdir(tmp_path) == ["x"]

    def test_a_symbolic_link_stays_one(self, tmp_path):
        (tmp_path / "real").write_bytes(b"")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        minigrad.save(2, tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert minigrad.load(tmp_path / "real") == 2

    def test_wrong_kinds_of_file(self, tmp_path):
        with pytest.raises(TypeError, match="expected a path or a file, got int"):
            minigrad.save(1, 5)
        with pytest.raises(TypeError, match="expected a path or a file, got int"):
            minigrad.load(5)
        with pytest.raises(FileNotFoundError):
            minigrad.load(tmp_path / "none")

    def test_every_truncation_is_refused(self, tmp_path):
        whole = saved({"w": Tensor([1.0, 2.0]), "n": 3})
        for end in range(len(whole)):
            with pytest.raises(ValueError, match=r"truncated|corrupt"):
                minigrad.load(io.BytesIO(whole[:end]))

    def test_a_flipped_byte_is_refused_or_does_no_harm(self):
        obj = {"w": Tensor([1.0, 2.0]), "n": 3}
        whole = saved(obj)
        for at in range(len(whole)):
            spoilt = whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]
            try:
                found = minigrad.load(io.BytesIO(spoilt))
            except ValueError as error:
                assert "load:" in str(error)
            else:  # a date or an attribute of the archive, which nobody reads
                assert same(found, obj)

    @staticmethod
    def archive(content, members=(), version=1, compression=zipfile.ZIP_STORED, **extra):
        file = io.BytesIO()
        manifest = {"format": "minigrad", "version": version, "content": content, **extra}
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("manifest.json", json.dumps(manifest))
            for name, array in members:
                member = io.BytesIO()
                np.save(member, array, allow_pickle=True)
                archive.writestr(name, member.getvalue())
        file.seek(0)
        return file

    @pytest.mark.parametrize(
        ("content", "members", "options", "message"),
        [
            (1, [], {"version": 2}, "format version 2.*up to 1: update"),
            (1, [], {"version": "x"}, "version 'x'"),
            (1, [], {"format": "other"}, "another format"),
            (1, [], {"compression": zipfile.ZIP_DEFLATED}, "compressed"),
            ([1], [], {}, "without its kind"),
            ({}, [], {}, "without its kind"),
            ({"set": [1]}, [], {}, "unknown kind 'set'"),
            ({"array": "0.npy"}, [], {}, "'0.npy' is missing"),
            ({"array": ["0.npy"]}, [], {}, "corrupt"),
            ({"float": "x"}, [], {}, "corrupt"),
            ({"dict": [[{"list": []}, 1]]}, [], {}, "corrupt"),
            ({"array": "0.npy"}, [("0.npy", np.array([object()]))], {}, "its header"),
            ({"tensor": "0.npy"}, [("0.npy", np.array(["text"]))], {}, "no tensor's"),
            ({"list": [{"array": "0.npy"}] * 2}, [("0.npy", np.ones(3))], {}, "missing"),
        ],
    )
    def test_made_up_files(self, content, members, options, message):
        with pytest.raises(ValueError, match=message):
            minigrad.load(self.archive(content, members, **options))

    def test_a_header_that_promises_a_huge_array(self):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
        )
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            manifest = {"format": "minigrad", "version": 1, "content": {"array": "0.npy"}}
            archive.writestr("manifest.json", json.dumps(manifest))
            archive.writestr("0.npy", header.getvalue())
        with pytest.raises(ValueError, match="does not hold what its header says"):
            minigrad.load(file)

    def test_files_of_other_programs(self, tmp_path):
        with open(tmp_path / "other", "wb") as file:
            np.savez(file, x=np.ones(3))
        (tmp_path / "text").write_text("hello")
        (tmp_path / "empty").write_bytes(b"")
        for name in ("other", "text", "empty"):
            with pytest.raises(ValueError, match="was not written by save"):
                minigrad.load(tmp_path / name)
