"""Preprocessing in the timed part: a second run beside the result, which it never touches."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.cache import Cache
from engine.config import Dataset, Preprocessing
from engine.datasets import open_library
from engine.preprocessing import PreprocessingSut
from engine.report.summary import metric_text, preprocessing_text
from engine.tracking import metrics_of
from loadgen import Mode, run
from sut.network import NetworkSut

TIMED = "scenario.timed_preprocessing=true"
SMALL = (
    "model=mobilenet",
    "model.width=0.25",
    "model.size=32",
    "precision=fp32",
    "sut.max_batch=1",
)


@pytest.fixture
def photographs(tmp_path):
    """A folder of four pictures, each of one colour's noise."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(4):
        pixels = random.integers(0, 255, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    lines = (f"{i}.png {i}" for i in range(4))
    (folder / "val_map.txt").write_text("\n".join(lines))
    return folder


def library_of(folder, tmp_path):
    dataset = Dataset(kind="imagenet", name="imagenet", path=str(folder))
    preprocessing = Preprocessing(size=32, resize=36, scale=2.0, mean=[1.0, 2.0, 3.0])
    return open_library(dataset, "image_classification", preprocessing, Cache(tmp_path / "cache"))


def test_samples_made_anew_are_those_that_are_loaded(photographs, tmp_path):
    library, indices = library_of(photographs, tmp_path), np.array([2, 0, 2])
    assert np.array_equal(library.fresh(indices)[0], library.load(indices).inputs[0])
    assert library.steps == "read, decode, resize, crop and normalise"


def test_the_system_runs_what_was_preprocessed_in_time(photographs, tmp_path, settings):
    """Its samples are wiped after loading, so only those made anew can give the right answers."""

    class Wiping(PreprocessingSut):
        def load(self, samples):
            super().load(samples)
            samples.inputs[0][...] = 0

    def means(inputs):
        return inputs[0].mean(axis=(1, 2, 3))

    library = library_of(photographs, tmp_path)
    inner = {"name": "means", "threads": 1, "max_batch": 3, "max_wait_us": 0}
    sut = Wiping(NetworkSut([means, means], None, **inner), library)
    log = run(settings("offline", mode=Mode.ACCURACY), library, sut)
    expected = library.load(np.arange(4)).inputs[0].mean(axis=(1, 2, 3))
    assert len(log.responses) == 4
    for index, response in zip(log.sample_index, log.responses, strict=True):
        assert response == pytest.approx(expected[index])


def test_a_second_run_stands_beside_the_first(engine):
    ended = engine(*SMALL, "scenario=single_stream", TIMED, "report=true")
    assert ended.code == 0, ended.err
    record = ended.record
    first, second = record["performance"], record["preprocessing"]
    assert second["settings"] == first["settings"]
    assert second["started_at"] > first["started_at"]
    assert f"{first['metric']['value']:.4g}" in metric_text(record)
    assert "there is no file" in second["steps"]
    text = preprocessing_text(record)
    assert text in " ".join(ended.out.split())
    (page,) = ended.folder.glob("runs/**/report.html")
    assert text.partition(";")[0] in page.read_text()
    p50 = second["statistics"]["latency_ms"]["p50"]
    assert metrics_of(record)["preprocessed_latency_p50_ms"] == p50


def test_files_are_read_while_it_is_timed(engine, photographs, monkeypatch):
    from engine.datasets import imagenet

    decoded, decode = [], imagenet.decode

    def noted(path, resize, size):
        decoded.append(path)
        return decode(path, resize, size)

    monkeypatch.setattr(imagenet, "decode", noted)
    data = ("dataset=imagenet", f"dataset.path={photographs}", "dataset.count=4")
    record = engine(*SMALL, *data, "scenario=single_stream", TIMED).record
    assert len(decoded) == 4 + record["preprocessing"]["statistics"]["sample_count"]


def test_one_that_is_far_slower_ends_and_leaves_the_result_alone(engine, monkeypatch):
    import time

    from engine.datasets.library import Library

    fresh = Library.fresh

    def slow(self, indices):
        time.sleep(0.15 * len(indices))
        return fresh(self, indices)

    monkeypatch.setattr(Library, "fresh", slow)
    rate = ("search=none", "scenario.target_qps=40", "scenario.min_query_count=20")
    ended = engine(*SMALL, *rate, "scenario.bound_ms=500", TIMED)
    record = ended.record
    assert record["preprocessing"]["ending"] == "stopped"
    assert record["preprocessing"]["valid"] is False
    assert (ended.code == 0) == record["performance"]["valid"]
    assert "missed: " in preprocessing_text(record)


def test_without_it_there_is_no_second_run(engine):
    record = engine("sut=null", "scenario=single_stream").record
    assert record["preprocessing"] is None
    assert preprocessing_text(record) == ""
    assert "preprocessed" not in json.dumps(metrics_of(record))


@pytest.mark.parametrize("other", [("sut=null",), ("sut=simulated",), ("model=gnmt",)])
def test_what_has_no_image_to_preprocess_is_refused(engine, other):
    ended = engine(*other, "scenario=single_stream", TIMED)
    assert ended.code == 3
    assert "scenario.timed_preprocessing is for images on sut=onnxruntime" in ended.err
