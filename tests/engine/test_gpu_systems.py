"""Systems on GPUs, as a config asks for them on a machine without any."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from engine.build import calibrated_for, fit_batch
from engine.errors import ConfigError, SutError
from engine.systems import check, start

NO_CUPY = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is not None, reason="CuPy is installed"
)
ON_CUDA = ("sut=onnxruntime", "sut.provider=cuda")


def test_only_systems_on_gpus_name_devices(configured):
    assert configured("sut=onnxruntime", "sut.devices=[3]").gpus == []
    assert configured(*ON_CUDA, "sut.devices=[3,5]").gpus == [3, 5]
    assert configured("sut=cupy").gpus == [0]
    assert configured("sut=openvino").gpus == []


def test_gpus_calibrate_by_percentiles(configured):
    assert calibrated_for(configured("sut=cupy")).calibration_method == "percentile"
    assert calibrated_for(configured("sut=onnxruntime")).calibration_method == "minmax"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sut=cupy", "precision=fp32"), "use precision=fp16 or precision=bf16 or precision=int8"),
        (("precision=fp16",), "sut=onnxruntime does not.*fp32 or precision=int8"),
        (("sut=tensorrt", "model=gnmt", "precision=fp16"), "no translation.*sut=cupy"),
        (("sut=cupy", "model=gnmt", "precision=int8"), "no translation.*precision=fp16"),
        ((*ON_CUDA, "model=gnmt", "precision=fp16"), "no translation.*cuda precision=fp32"),
        ((*ON_CUDA, "precision=int8"), "sut.provider=cuda does not.*fp32 or precision=fp16"),
    ],
)
def test_a_precision_that_a_system_does_not_compute_in_is_refused(overrides, words, configured):
    with pytest.raises(ConfigError, match=words):
        check(configured(*overrides))


@NO_CUPY
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sut=cupy", "precision=fp16"), "sut=cupy needs CuPy.*pip install .cupy"),
        (("sut=cupy", "model=gnmt", "precision=fp16"), "sut=cupy needs CuPy"),
        (("sut=tensorrt", "precision=fp16"), "sut=tensorrt needs TensorRT.*pip install"),
        ((*ON_CUDA, "precision=fp16"), "needs ONNX Runtime with its CUDA.*onnxruntime-gpu"),
    ],
)
def test_what_is_missing_is_named_before_a_network_is_built(overrides, words, configured):
    with pytest.raises(SutError, match=words):
        check(configured(*overrides))


@pytest.mark.parametrize(
    ("overrides", "streams"),
    [
        (("scenario=offline",), 2),
        (("scenario=offline", "sut.start_from_device=false"), 3),  # one copies, two compute
        (("scenario=offline", "sut.start_from_device=false", "sut.streams=2"), 2),
        (("scenario=server", "sut.start_from_device=false"), 1),
        (("scenario=offline", "sut.start_from_device=false", "model=gnmt", "precision=fp16"), 2),
    ],
)
def test_batches_overlap_offline_and_copies_with_them(
    overrides, streams, configured, monkeypatch, tmp_path
):
    monkeypatch.setattr("sut.cupy.CupySut", lambda *file, **given: given)
    output = SimpleNamespace(name="classes")
    artefact = SimpleNamespace(path=tmp_path, output=output, precision="int8")
    said = []
    made = start(configured("sut=cupy", *overrides), artefact, said.append)
    assert made["streams"] == streams
    made["say"]("it takes minutes")
    assert said == ["it takes minutes"]


class _Timed:
    name, max_batch = "timed", 256

    def __init__(self, times_ms):
        self._times_ms = times_ms

    def service_time_s(self, samples, size, repeats=3):
        return self._times_ms[size] / 1e3


@pytest.mark.parametrize(
    ("times_ms", "best"),
    [
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 7.0}, 4),  # the next one takes longer than half the bound
        ({1: 1.0, 2: 2.0}, 1),  # no sample is cheaper by it
    ],
)
def test_the_largest_batch_is_the_last_that_was_worth_it(times_ms, best, configured):
    sut = _Timed(times_ms)
    library = SimpleNamespace(total_count=8, load=lambda indices: np.asarray(indices))
    benchmark = SimpleNamespace(sut=sut, config=configured("sut=cupy"), library=library)
    assert fit_batch(benchmark, 0.01, lambda message: None) == {
        size: ms / 1e3 for size, ms in times_ms.items()
    }
    assert sut.max_batch == best
