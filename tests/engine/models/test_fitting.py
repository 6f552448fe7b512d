from __future__ import annotations

import numpy as np

from engine.models import fit, weights
from engine.models.graph import Builder
from engine.models.reference import PREPROCESSING, network_of


def test_ridge_finds_separable_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    features = (rng.standard_normal((4, 9))[labels] * 5 + rng.standard_normal((400, 9)) + 3).astype(
        np.float32
    )
    rows, bias = fit.ridge(features, labels, 4)
    assert ((features @ rows.T + bias).argmax(axis=1) == labels).mean() > 0.97


def test_statistics_are_those_of_each_layer_after_the_ones_before():
    b = Builder(epsilon=0.0)
    x = b.relu(b.batch_norm(b.conv("input", "one", (4, 3, 1)), "bn1", 4))
    x = b.batch_norm(b.conv(x, "two", (5, 4, 1)), "bn2", 5)
    network = b.classify(x, "small", 5, 2)
    values = weights.seeded(network, 1)
    batch = np.random.default_rng(0).standard_normal((2, 3, 224, 224)).astype(np.float32)
    found = fit.measure_statistics(network.model(values), batch)
    first = np.einsum("oi,nihw->nohw", values["one.weight"][:, :, 0, 0], batch)
    np.testing.assert_allclose(found["bn1.running_mean"], first.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(found["bn1.running_var"], first.var((0, 2, 3)), rtol=1e-4)
    mean, deviation = first.mean((0, 2, 3), keepdims=True), first.std((0, 2, 3), keepdims=True)
    hidden = np.maximum((first - mean) / deviation, 0)
    second = np.einsum("oi,nihw->nohw", values["two.weight"][:, :, 0, 0], hidden)
    np.testing.assert_allclose(found["bn2.running_var"], second.var((0, 2, 3)), rtol=1e-3)


def test_the_fitted_files_fit_their_networks():
    for kind in PREPROCESSING:
        network, found = network_of(kind), weights.read_fitted(kind)
        assert found is not None
        statistics = {n for n in network.shapes if ".running_" in n}
        assert found.statistics.keys() == statistics
        for name in statistics:
            assert found.statistics[name].shape == network.shapes[name]
            assert np.isfinite(found.statistics[name]).all()
        assert all((found.statistics[n] > 0).all() for n in statistics if n.endswith("var"))
        assert found.rows.shape == (32, network.shapes["fc.weight"][1])
