from __future__ import annotations

import sys
import zipfile

import ml_dtypes
import numpy as np
import onnx
import pytest

from engine.errors import ConfigError
from engine.models import weights
from engine.models.classifier import classify
from engine.models.graph import Builder


@pytest.fixture
def network():
    """Conv 3 -> 4, batch norm, classifier of five."""
    b = Builder(epsilon=1e-5)
    x = b.relu(b.batch_norm(b.conv("input", "conv", (4, 3, 1)), "bn", 4))
    return classify(b, x, "small", 4, 5, 224)


@pytest.fixture
def values(network):
    return weights.seeded(network, 7)


@pytest.mark.parametrize("suffix", [".npz", ".onnx"])
def test_a_file_comes_back_as_it_was(tmp_path, network, values, suffix):
    path = tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez(path, **values, **{"bn.num_batches_tracked": np.int64(3)})
    else:
        onnx.save(network.model(values), path)
    found = weights.from_file(network, path)
    assert found.keys() == values.keys()
    assert all((found[name] == values[name]).all() for name in values)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_safetensors_are_taken(tmp_path, network, values, dtype):
    from safetensors.numpy import save_file

    path = tmp_path / "w.safetensors"
    save_file({name: value.astype(dtype) for name, value in values.items()}, path)
    found = weights.from_file(network, path)
    assert all(value.dtype == np.float32 for value in found.values())
    assert all((found[name] == values[name].astype(dtype)).all() for name in values)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"cannot be read as \.safetensors"):
        weights.from_file(network, path)


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
def test_a_state_dict_of_pytorch_is_taken(tmp_path, network, values, wrapped):
    torch = pytest.importorskip("torch")
    tensors = {f"module.{name}": torch.from_numpy(value.copy()) for name, value in values.items()}
    tensors["module.bn.num_batches_tracked"] = torch.tensor(3)
    torch.save({wrapped: tensors, "epoch": 7} if wrapped else tensors, tmp_path / "w.pth")
    found = weights.from_file(network, tmp_path / "w.pth")
    assert all((found[name] == values[name]).all() for name in values)


def test_a_state_dict_that_holds_more_than_tensors_is_refused(tmp_path, network):
    torch = pytest.importorskip("torch")
    torch.save({"conv.weight": Trap()}, tmp_path / "w.pt")
    (tmp_path / "v.pt").write_bytes(b"garbage")
    for name in ("w.pt", "v.pt"):
        with pytest.raises(ConfigError, match="cannot be read as a PyTorch state dict"):
            weights.from_file(network, tmp_path / name)


def test_without_pytorch_the_way_round_it_is_named(tmp_path, network, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pip install torch, or save .* \.safetensors"):
        weights.from_file(network, tmp_path / "w.pth")


def test_half_and_double_precision_are_taken(tmp_path, network, values):
    np.savez(tmp_path / "w.npz", **{k: v.astype(np.float64) for k, v in values.items()})
    found = weights.from_file(network, tmp_path / "w.npz")
    assert all(v.dtype == np.float32 for v in found.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn.bias": None}, r"tensor bn.bias \[4\] is missing"),
        ({"fc.bias": np.zeros(6, np.float32)}, r"fc.bias has the shape \[6\]; .* needs \[5\]"),
        ({"surplus": np.zeros(2)}, "tensor surplus is none of small's"),
        ({"fc.bias": np.full(5, np.nan)}, "fc.bias .* finite"),
        ({"fc.bias": np.full(5, 1e39)}, r"fc.bias \(float64\) .* finite in single precision"),
        ({"fc.bias": np.full(5, -1e300)}, "fc.bias .* finite in single precision"),
        ({"bn.running_var": np.array([1, 0, -1e-3, 2])}, "bn.running_var .* one is -0.001: none"),
        ({"fc.bias": np.zeros(5, np.int64)}, "fc.bias .* floating-point"),
    ],
)
def test_the_first_unfit_tensor_is_named(tmp_path, network, values, change, message):
    changed = {k: v for k, v in (values | change).items() if v is not None}
    np.savez(tmp_path / "w.npz", **changed)
    with pytest.raises(ConfigError, match=message):
        weights.from_file(network, tmp_path / "w.npz")


def test_eight_bits_are_refused_for_what_they_are(tmp_path, network, values):
    from safetensors.numpy import save_file

    eight = {"fc.bias": values["fc.bias"].astype(ml_dtypes.float8_e4m3fn)}
    save_file(values | eight, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"tensor fc\.bias is F8_E4M3, which has no like"):
        weights.from_file(network, tmp_path / "w.safetensors")


def test_a_variance_of_zero_is_taken(tmp_path, network, values):
    np.savez(tmp_path / "w.npz", **(values | {"bn.running_var": np.zeros(4)}))
    assert not weights.from_file(network, tmp_path / "w.npz")["bn.running_var"].any()


@pytest.mark.parametrize("content", ["junk", "an array", "text", "objects"])
def test_no_npz_is_answered_with_advice_to_load_it_unsafely(tmp_path, network, values, content):
    path, message = tmp_path / "w.npz", "its part fc.bias.* is damaged or no array of numbers"
    if content == "objects":
        np.savez(path, allow_pickle=True, **(values | {"fc.bias": np.array([Trap()], object)}))
    elif content == "text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fc.bias", "0 0 0 0 0")
    else:
        message = "no archive of arrays as numpy.savez writes them"
        with path.open("wb") as file:
            np.save(file, values["fc.bias"]) if content == "an array" else file.write(b"garbage")
    with pytest.raises(ConfigError, match=message) as raised:
        weights.from_file(network, path)
    assert "pickle" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path, network):
    with pytest.raises(ConfigError, match="there is no such file"):
        weights.from_file(network, tmp_path / "none.npz")
    for name, message in (
        ("w.npz", "as .npz"),
        ("w.onnx", "not a valid ONNX"),
        ("w.bin", "must be"),
    ):
        (tmp_path / name).write_bytes(b"garbage")
        with pytest.raises(ConfigError, match=message):
            weights.from_file(network, tmp_path / name)


class Trap:
    """Pickles to something that raises when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_fitted_head_sits_at_label_minus_offset(network, offset):
    rows = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
    fit = {"fc.weight": rows, "fc.bias": np.array([1, 2, 3], np.float32)}
    found = weights.fitted(network, offset, fit)
    for label in range(3):
        if (index := label - offset) >= 0:
            assert (found["fc.weight"][index] == rows[label]).all()
            assert found["fc.bias"][index] == label + 1
    assert (found["fc.bias"] == weights.UNUSED_BIAS).sum() == 5 - (3 - max(0, offset))
