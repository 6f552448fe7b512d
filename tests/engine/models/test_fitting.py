from __future__ import annotations

import numpy as np

from engine.models import fit, weights
from engine.models.classifier import classify
from engine.models.graph import Builder


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
    network = classify(b, x, "small", 5, 2, 224)
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
    for job in fit.JOBS:
        network = job.network
        found = weights.read_fitted(network.name)
        assert found is not None
        statistics = {n for n in network.shapes if ".running_" in n}
        assert statistics < found.keys() <= network.shapes.keys()
        for name, value in found.items():
            rows, shape = value.shape, network.shapes[name]
            assert rows == shape if name in statistics else rows[1:] == shape[1:]
            assert 0 < len(value) <= shape[0] and np.isfinite(value).all()
        assert all((found[n] > 0).all() for n in statistics if n.endswith("var"))
