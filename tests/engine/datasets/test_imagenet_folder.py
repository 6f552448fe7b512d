from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import config
from engine.cache import Cache
from engine.datasets import imagenet, open_library, photographs, synthetic
from engine.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "data" / "imagenet"
P = config.Preprocessing(size=16, resize=20, mean=[1.0, 2.0, 3.0])


@pytest.fixture
def folder(tmp_path):
    """Six PNG photographs of noise in two folders, and their map."""
    root, rng = tmp_path / "images", np.random.default_rng(5)
    (root / "a").mkdir(parents=True)
    lines = []
    for i in range(6):
        pixels = rng.integers(0, 256, (20, 20 + 8 * i, 3), np.uint8)
        Image.fromarray(pixels).save(root / "a" / f"{i} x.png")
        lines.append(f"a/{i} x.png {100 + i}\n")
    (root / "val_map.txt").write_text("".join(lines))
    return root


def opened(folder, tmp_path, **keys):
    dataset = config.Dataset("imagenet", "imagenet", path=str(folder), **keys)
    return open_library(dataset, "image_classification", P, Cache(tmp_path / "cache"))


def test_reads_maps_crops_and_normalises(folder, tmp_path):
    library = opened(folder, tmp_path)
    assert library.truth.tolist() == [100, 101, 102, 103, 104, 105] and not library.synthetic
    # The third image's shorter side is already 20: no resize, only the centre crop.
    pixels = np.asarray(Image.open(folder / "a" / "2 x.png"))[2:18, 10:26]
    expected = (pixels - np.array(P.mean)).transpose(2, 0, 1)
    np.testing.assert_allclose(library.load(np.array([2])).inputs[0][0], expected, rtol=1e-6)


def test_the_sample_in_imagenets_form_is_read_as_it_is(tmp_path):
    preprocessing = config.Preprocessing(size=80, resize=80, layout="nhwc", scale=1.0)
    dataset = config.Dataset(
        "imagenet",
        "imagenet",
        path=str(SAMPLE),
        calibration_list=str(SAMPLE / "cal_image_list.txt"),
    )
    library = open_library(dataset, "image_classification", preprocessing, Cache(tmp_path))
    assert library.truth.tolist() == synthetic.labels("test", 3).tolist()
    images = [*library.load(np.arange(3)).inputs[0], *library.calibration(1)[0]]
    for number, image in enumerate(images):
        apart = image - synthetic.image("test", number, 96)[8:-8, 8:-8].astype(int)
        # JPEG blurs the noise on the colours, and leaves what several pixels have in common.
        assert np.abs(apart.reshape(10, 8, 10, 8, 3).mean(axis=(1, 3))).mean() < 3


def test_shorter_side_is_resized_with_the_aspect_kept(tmp_path):
    ramp = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (40, 120, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    found = imagenet.decode(tmp_path / "ramp.png", 20, 16)
    # 120 columns become 60: column j of the crop lies at 2 * (22 + j) + 0.5 of the ramp.
    expected = 2 * (22 + np.arange(16)) + 0.5
    assert np.abs(found[8, :, 0] - expected).max() <= 1


def test_count_takes_the_first_lines(folder, tmp_path):
    assert opened(folder, tmp_path, count=2).truth.tolist() == [100, 101]
    with pytest.raises(ConfigError, match=r"dataset.count=7 is more than the 6 lines"):
        opened(folder, tmp_path, count=7)


def test_grey_and_cmyk_images_become_rgb(tmp_path):
    for mode in ("L", "CMYK"):
        Image.new(mode, (30, 30), 100 if mode == "L" else (0, 0, 0, 155)).save(tmp_path / "x.jpg")
        found = imagenet.decode(tmp_path / "x.jpg", 20, 16)
        assert found.shape == (16, 16, 3) and abs(int(found.mean()) - 100) <= 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a/0 x.png 1\nnonsense\n", "line 2: 'nonsense' is not of the form"),
        ("a/0 x.png -1\n", "line 1.*not of the form"),
        ("a/0 x.png 1000\n", "line 1: the label 1000 is not within"),
        ("../secret.png 1\n", "line 1: '../secret.png' leaves"),
        ("a/../../secret.png 1\n", "leaves the data set's folder"),
        ("/etc/secret.png 1\n", "leaves the data set's folder"),
        ("\n\n", "is empty"),
        ("a/none.png 1\n", "none.png is missing"),
        ("a/broken.png 1\n", "broken.png is no readable image"),
        ("a/cut.png 1\n", "cut.png is no readable image"),
    ],
)
def test_each_fault_of_the_map_is_one_message(folder, tmp_path, content, message):
    (folder / "a" / "broken.png").write_bytes(b"no image at all")
    whole = (folder / "a" / "5 x.png").read_bytes()
    (folder / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "val_map.txt").write_text(content)
    with pytest.raises(ConfigError, match=message):
        opened(folder, tmp_path)


def test_missing_folder_path_and_map(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"needs dataset.path=FOLDER"):
        open_library(
            config.Dataset("imagenet", "imagenet"), "image_classification", P, Cache(tmp_path)
        )
    with pytest.raises(ConfigError, match="there is no such folder"):
        opened(folder / "none", tmp_path)
    (folder / "val_map.txt").unlink()
    with pytest.raises(ConfigError, match=r"val_map.txt is missing"):
        opened(folder, tmp_path)
    (folder / "val_map.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        opened(folder, tmp_path)


def test_an_enormous_image_is_refused_undecoded(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "MAX_PIXELS", 100)
    Image.new("RGB", (11, 10)).save(tmp_path / "x.png")
    with pytest.raises(ConfigError, match="more than 100 pixels"):
        imagenet.decode(tmp_path / "x.png", 8, 8)


def test_calibration_uses_what_is_not_evaluated_or_refuses(folder, tmp_path):
    library = opened(folder, tmp_path, count=4)
    rest = opened(folder, tmp_path).load(np.array([4, 5])).inputs[0]
    assert (library.calibration(2)[0] == rest).all()
    with pytest.raises(ConfigError, match=r"Calibration needs 3 .*calibration_map.txt"):
        library.calibration(3)
    with pytest.raises(ConfigError, match="not evaluated"):
        opened(folder, tmp_path).calibration(1)


def test_calibration_map_is_used_as_given(folder, tmp_path):
    (folder / "calibration_map.txt").write_text("a/3 x.png\na/1 x.png 7\n")
    library = opened(folder, tmp_path)
    assert (library.calibration(2)[0] == library.load(np.array([3, 1])).inputs[0]).all()


def test_a_list_of_names_elsewhere_chooses_the_calibration_images(folder, tmp_path):
    names = tmp_path / "cal_image_list.txt"
    names.write_text("a/2 x.png\n\na/4 x.png\n")
    library = opened(folder, tmp_path, calibration_list=str(names))
    assert (library.calibration(2)[0] == library.load(np.array([2, 4])).inputs[0]).all()
    assert library.evaluated_too(2) == 2
    fewer = opened(folder, tmp_path, calibration_list=str(names), count=3)
    assert fewer.evaluated_too(2) == 1, "a/4 x.png is none of the first three"
    assert opened(folder, tmp_path, count=3).evaluated_too(2) == 0
    with pytest.raises(ConfigError, match=r"Calibration needs 3 .* the list of them names 2"):
        library.calibration(3)
    for content, message in (
        ("../../secret.png\n", "leaves the data set's folder"),
        ("gone.png\n", r"gone\.png is missing"),
        ("\n", "is empty"),
    ):
        names.write_text(content)
        with pytest.raises(ConfigError, match=message):
            library.calibration(1)
    names.unlink()
    with pytest.raises(ConfigError, match=r"must be a file of names"):
        library.calibration(1)


def test_samples_that_are_drawn_take_no_list(tmp_path):
    dataset = config.Dataset("synthetic", "synthetic", calibration_list="names.txt")
    with pytest.raises(ConfigError, match="dataset=synthetic has samples of its own"):
        open_library(dataset, "image_classification", P, Cache(tmp_path))


def test_a_changed_image_is_decoded_again(folder, tmp_path):
    before = opened(folder, tmp_path)
    Image.new("RGB", (30, 30)).save(folder / "a" / "0 x.png")
    after = opened(folder, tmp_path)
    assert before.fingerprint != after.fingerprint
    assert (after.pixels[0] == 0).all()
