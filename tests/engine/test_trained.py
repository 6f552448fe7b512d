"""Networks that were really trained, on photographs that were really taken."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from engine.build import build
from engine.fetch import __main__ as command
from engine.fetch import catalogue
from engine.fetch.client import ConnectionLost, HttpStatus
from engine.paths import conf_dir, fetched_dir

EXPERIMENTS = {"mobilenet": ("mobilenet", 16), "resnet50": ("resnet50_v1", 19)}
DETECTORS = {"ssd_mobilenet": (34.1, 0.93), "ssd_mobilenet_v2": (29.9, 0.8)}
"""mAP in percent, and of it the most that is left with the colour channels swapped."""

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A cache with the networks and the photographs, from this machine's package indexes.

    What these do not have, or cannot be reached for, is skipped; a wrong file is a failure.
    """
    cache = tmp_path_factory.mktemp("fetched")
    for name in ("photos", "mobilenet", "resnet50_v1", "coco_photos", *DETECTORS):
        entry = catalogue.find(name, conf_dir() / "fetch")
        try:
            command.fetch(entry, fetched_dir(name, cache))
        except (ConnectionLost, HttpStatus) as error:
            pytest.skip(f"no package index gives {name}: {error}")
    return cache


@pytest.fixture
def assessed(engine, fetched, monkeypatch):
    """``assessed("mobilenet", ...)``: the quality that the experiment's accuracy run records."""
    number = iter(range(100))

    def run(experiment, *overrides):
        monkeypatch.setenv("TAILBOUND_CACHE", str(fetched))
        folder = f"runs/{next(number)}"
        ended = engine(
            f"experiment={experiment}_photos",
            "mode=accuracy",
            "tracking=none",
            f"hydra.run.dir={folder}",
            *overrides,
            quickly=(),
        )
        assert ended.code in (0, 2), ended.out + ended.err  # 2: of ten, one may be the target
        return json.loads((ended.folder / folder / "result.json").read_text())["accuracy"]

    return run


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("sut", ["onnxruntime", "openvino"])
def test_single_precision_recognises_what_the_photographs_show(experiment, sut, assessed):
    pytest.importorskip(sut)
    accuracy = assessed(experiment, f"sut={sut}")
    assert accuracy["synthetic"] is False
    assert accuracy["quality"]["count"] == 20
    assert accuracy["quality"]["value"] == pytest.approx(EXPERIMENTS[experiment][1] * 5.0)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_int8_keeps_up_on_photographs_it_was_not_calibrated_with(
    experiment, assessed, fetched, tmp_path
):
    """Each half of the photographs is evaluated once, with the other half for calibration."""
    photos = fetched / "fetched" / "photos"
    lines = (photos / "val_map.txt").read_text().splitlines(keepends=True)
    right = []
    for number, order in enumerate((lines, lines[10:] + lines[:10])):
        folder = tmp_path / f"half{number}"
        folder.mkdir()
        for line in lines:
            name = line.split()[0]
            (folder / name).symlink_to(photos / name)
        (folder / "val_map.txt").write_text("".join(order))
        accuracy = assessed(
            experiment,
            "precision=int8",
            f"dataset.path={folder}",
            "dataset.count=10",
            "precision.calibration_count=10",
        )
        right.append(round(accuracy["quality"]["value"] / 10))
    assert EXPERIMENTS[experiment][1] - 2 <= sum(right) <= 20


def test_a_flipped_channel_order_is_seen(assessed):
    whole = assessed("resnet50")["quality"]["value"]
    assert assessed("resnet50", "model.preprocessing.channels=bgr")["quality"]["value"] < whole


def test_our_mobilenet_answers_as_the_file_itself_does(configured, fetched):
    """OpenVINO reads TensorFlow Lite with a reader of its own."""
    openvino = pytest.importorskip("openvino")
    config = configured(
        "experiment=mobilenet_photos", "model.output=logits", f"cache_dir={fetched}"
    )
    benchmark = build(config, lambda message: None)
    samples = benchmark.library.load(np.arange(20))
    (file,) = fetched.glob("fetched/mobilenet/*.tflite")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    theirs = openvino.Core().compile_model(str(file), "CPU", exact)
    for row in range(20):
        image = samples.inputs[0][row : row + 1]
        (scores,) = theirs([image.transpose(0, 2, 3, 1)]).values()
        ours = benchmark.sut._lanes[0].answer(samples, np.array([row]))
        np.testing.assert_allclose(softmax(ours), scores, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("sut", ["onnxruntime", "openvino"])
def test_a_detector_finds_what_the_photographs_show(detector, sut, assessed):
    pytest.importorskip(sut)
    accuracy = assessed(detector, f"sut={sut}")
    assert accuracy["synthetic"] is False
    assert accuracy["quality"]["count"] == 4
    value, left = DETECTORS[detector]
    assert accuracy["quality"]["value"] == pytest.approx(value, abs=0.5)
    flipped = assessed(detector, f"sut={sut}", "model.preprocessing.channels=bgr")
    assert flipped["quality"]["value"] < left * accuracy["quality"]["value"]


def test_our_detector_finds_what_the_file_itself_does(configured, fetched):
    """TensorFlow Lite's own runtime, which computes in 8 bits and shows ten detections."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    benchmark = build(
        configured("experiment=ssd_mobilenet_photos", f"cache_dir={fetched}"), lambda message: None
    )
    library = benchmark.library
    ours = benchmark.sut._lanes[0].answer(library.load(np.arange(4)), np.arange(4))
    (file,) = fetched.glob("fetched/ssd_mobilenet/*.tflite")
    theirs = litert.Interpreter(str(file))
    theirs.allocate_tensors()
    agreed = 0
    for row in range(4):
        theirs.set_tensor(theirs.get_input_details()[0]["index"], library.pixels[row][None])
        theirs.invoke()
        boxes, classes, scores, _ = (
            theirs.get_tensor(output["index"])[0] for output in theirs.get_output_details()
        )
        for box, number, score in zip(boxes[:3], classes[:3], scores[:3], strict=True):
            same = ours[row][ours[row][:, 6] == number + 1]
            near = np.abs(same[:, 1:5] - box).max(axis=1) < 0.03
            agreed += bool((np.abs(same[near, 5] - score) < 0.06).any())
    assert agreed >= 11  # of the best three of each photograph
