from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import config
from engine.cache import Cache
from engine.datasets import coco, open_library, scenes
from engine.errors import ConfigError

SAMPLE = Path(__file__).parents[2] / "data" / "coco"
P = config.Preprocessing(size=16, resize=16)


@pytest.fixture
def instances():
    """Three images with two boxes and a crowd, as COCO's files hold them."""
    images = [
        {"id": 139, "file_name": "000000000139.png", "width": 40, "height": 20, "license": 2},
        {"id": 285, "file_name": "000000000285.png", "width": 20, "height": 30},
        {"id": 632, "file_name": "000000000632.png", "width": 25, "height": 25},
    ]
    row = {"segmentation": [[1, 1, 5, 1, 5, 5]], "area": 12.5, "iscrowd": 0}
    annotations = [
        {"id": 9, "image_id": 139, "category_id": 18, "bbox": [4, 2, 10.5, 8], **row},
        {"id": 5, "image_id": 285, "category_id": 90, "bbox": [0, 0, 20, 30], **row},
        {"id": 7, "image_id": 632, "category_id": 18, "bbox": [3, 3, 9, 9], **row, "iscrowd": 1},
    ]
    categories = [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]
    return {"images": images, "annotations": annotations, "categories": categories, "info": {}}


@pytest.fixture
def folder(tmp_path, instances):
    root, rng = tmp_path / "coco", np.random.default_rng(5)
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    for row in instances["images"]:
        pixels = rng.integers(0, 256, (row["height"], row["width"], 3), np.uint8)
        Image.fromarray(pixels).save(root / "val2017" / row["file_name"])
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    return root


def opened(folder, tmp_path, **keys):
    dataset = config.Dataset("coco", "coco", path=str(folder), **keys)
    return open_library(dataset, "object_detection", P, Cache(tmp_path / "cache"))


def rewritten(folder, text):
    (folder / "annotations" / "instances_val2017.json").write_text(text)


def test_images_and_boxes_come_in_the_files_order(folder, tmp_path):
    library = opened(folder, tmp_path)
    assert (library.total_count, library.synthetic) == (3, False)
    assert [row["id"] for row in library.truth["images"]] == [139, 285, 632]
    boxes = library.truth["annotations"]
    assert boxes[0]["bbox"] == [4, 2, 10.5, 8] and boxes[0]["area"] == 12.5
    assert [row["iscrowd"] for row in boxes] == [0, 0, 1]
    assert "segmentation" not in boxes[0]
    images, numbers = library.load(np.array([1])).inputs
    assert images.shape == (1, 3, 16, 16) and numbers.tolist() == [1]


def test_the_sample_in_cocos_form_is_read_as_it_is(tmp_path):
    preprocessing = config.Preprocessing(size=128, resize=128, layout="nhwc", scale=1.0)
    dataset = config.Dataset("coco", "coco", path=str(SAMPLE))
    library = open_library(dataset, "object_detection", preprocessing, Cache(tmp_path))
    drawn = scenes.coco("test", 3, 128)
    for found, true in zip(library.truth["annotations"], drawn["annotations"], strict=True):
        assert {key: found[key] for key in ("bbox", "area", "category_id")} == {
            key: true[key] for key in ("bbox", "area", "category_id")
        }
    for number, image in enumerate(library.load(np.arange(3)).inputs[0]):
        apart = image - scenes.scene("test", number, 128).astype(int)
        # JPEG blurs the noise on the colours, and leaves what several pixels have in common.
        assert np.abs(apart.reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))).mean() < 3


def test_both_sides_are_resized_and_nothing_is_cut_off(tmp_path):
    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None] * 3, (32, 80, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    found = coco.decode(tmp_path / "ramp.png", 16)[8, :, 0].astype(float)
    # 80 columns become 16: column j lies at 5 * j + 2 of the ramp, first and last included.
    assert np.abs(found - 3 * (5 * np.arange(16) + 2)).max() <= 4


def test_pixels_that_were_made_another_way_are_not_taken_from_the_cache(
    folder, tmp_path, monkeypatch
):
    before = opened(folder, tmp_path).load(np.arange(3)).inputs[0]

    def decode(path, size, shape=None):
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(coco, "decode", decode)
    after = opened(folder, tmp_path).load(np.arange(3)).inputs[0]
    assert len(np.unique(after)) <= 3 < len(np.unique(before))


IMAGE = [
    [95, 217, 15, 215, 248, 69, 205],
    [61, 29, 19, 59, 81, 120, 208],
    [64, 89, 127, 128, 76, 154, 95],
    [186, 220, 1, 237, 143, 96, 55],
    [77, 208, 190, 120, 240, 100, 126],
]
SMALLER = [[129, 38, 223, 157], [58, 63, 80, 153], [152, 67, 127, 88], [135, 162, 216, 110]]
LARGER = [
    [95, 176, 127, 59, 215, 240, 148, 114, 205],
    [84, 131, 93, 49, 163, 186, 133, 126, 206],
    [65, 55, 36, 31, 76, 94, 108, 145, 208],
    [62, 58, 61, 72, 90, 81, 110, 142, 158],
    [64, 81, 106, 127, 128, 88, 119, 134, 95],
    [132, 152, 115, 86, 188, 130, 118, 105, 73],
    [174, 204, 131, 67, 224, 169, 122, 85, 63],
    [113, 179, 174, 134, 159, 197, 147, 100, 102],
    [77, 164, 200, 174, 120, 213, 162, 109, 126],
]


@pytest.mark.parametrize("wanted", [SMALLER, LARGER], ids=["smaller", "larger"])
def test_images_are_resized_as_the_suite_does(tmp_path, wanted):
    """``cv2.resize(image, (n, n), interpolation=cv2.INTER_LINEAR)`` of opencv-python 5.0.0."""
    image = np.repeat(np.array(IMAGE, np.uint8)[:, :, None], 3, axis=2)
    Image.fromarray(image).save(tmp_path / "image.png")
    found = coco.decode(tmp_path / "image.png", len(wanted)).astype(int)
    assert np.abs(found - np.array(wanted)[:, :, None]).max() <= 1


def test_annotations_and_images_may_lie_in_the_folder_itself(folder, tmp_path):
    before = opened(folder, tmp_path).load(np.arange(3)).inputs[0]
    for part in ("annotations", "val2017"):
        for file in (folder / part).iterdir():
            file.rename(folder / file.name)
        (folder / part).rmdir()
    assert (opened(folder, tmp_path).load(np.arange(3)).inputs[0] == before).all()


def test_count_takes_the_first_images_and_their_boxes(folder, tmp_path):
    library = opened(folder, tmp_path, count=2)
    assert [row["image_id"] for row in library.truth["annotations"]] == [139, 285]
    with pytest.raises(ConfigError, match=r"dataset.count=4 is more than the 3 of instances"):
        opened(folder, tmp_path, count=4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "no COCO annotation file.*JSON"),
        ("[]", "no COCO annotation file"),
        ('{"images": []}', "no COCO annotation file.*annotations"),
        ('{"images": [], "annotations": [], "categories": []}', "no lists of some"),
        ('{"images": [1], "annotations": [], "categories": []}', r"images\[0\] is not"),
    ],
)
def test_a_file_that_is_not_cocos_is_refused(folder, tmp_path, text, message):
    rewritten(folder, text)
    with pytest.raises(ConfigError, match=message):
        opened(folder, tmp_path)


@pytest.mark.parametrize(
    ("part", "row", "changes", "message"),
    [
        ("images", 1, {"width": "wide"}, r"images\[1\] is not as COCO's are"),
        ("images", 1, {"height": 0}, "without pixels"),
        ("images", 1, {"width": float("inf")}, r"images\[1\] is not as COCO's are \(Overflow"),
        ("images", 2, {"id": float("-inf")}, r"images\[2\] is not as COCO's are"),
        ("images", 1, {"id": 139}, "an id comes twice among its images"),
        ("images", 1, {"file_name": "../../secret.png"}, "leaves the data set's folder"),
        ("images", 1, {"file_name": "absent.png"}, "absent.png is missing"),
        ("images", 1, {"width": 21}, "20 x 30 pixels, but .* 21 x 30"),
        ("annotations", 0, {"bbox": [1, 2, 3]}, r"annotations\[0\] is not"),
        ("annotations", 0, {"bbox": [1, 2, -3, 4]}, "bbox must be"),
        ("annotations", 1, {"bbox": [1, 2, 10**400, 4]}, r"annotations\[1\] is not"),
        ("annotations", 1, {"iscrowd": float("inf")}, r"annotations\[1\] is not"),
        ("annotations", 1, {"id": float("inf")}, r"annotations\[1\] is not"),
        ("annotations", 1, {"area": float("nan")}, r"annotations\[1\] .*area=nan must be finite"),
        ("annotations", 1, {"area": float("inf")}, "area=inf must be finite"),
        ("annotations", 1, {"area": -1}, r"area=-1.0 must be finite and not below 0"),
        ("annotations", 2, {"image_id": 1}, "none of the file's"),
        ("annotations", 2, {"category_id": 1}, "none of the file's"),
        ("categories", 1, {"id": float("inf")}, r"categories\[1\] is not"),
        ("categories", 0, {"id": 90}, "an id comes twice among its categories"),
    ],
)
def test_the_first_row_at_fault_is_named(folder, tmp_path, instances, part, row, changes, message):
    instances[part][row] |= changes
    rewritten(folder, json.dumps(instances))
    with pytest.raises(ConfigError, match=message):
        opened(folder, tmp_path)


@pytest.mark.parametrize("kept", [[], [2]])
def test_images_with_nothing_to_find_are_refused(folder, tmp_path, instances, kept):
    instances["annotations"] = [instances["annotations"][i] for i in kept]  # the third is a crowd
    rewritten(folder, json.dumps(instances))
    with pytest.raises(ConfigError, match=r"The 3 images .* no object to be found"):
        opened(folder, tmp_path)


def test_the_images_taken_must_hold_an_object(folder, tmp_path, instances):
    del instances["annotations"][0]
    rewritten(folder, json.dumps(instances))
    assert opened(folder, tmp_path, count=2).total_count == 2
    with pytest.raises(ConfigError, match=r"The 1 images .* raise dataset\.count="):
        opened(folder, tmp_path, count=1)


def test_missing_folder_path_and_file(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"needs dataset.path=FOLDER"):
        open_library(config.Dataset("coco", "coco"), "object_detection", P, Cache(tmp_path))
    with pytest.raises(ConfigError, match="there is no such folder"):
        opened(folder / "none", tmp_path)
    (folder / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(ConfigError, match=r"instances_val2017.json is missing: .*val2017"):
        opened(folder, tmp_path)


def test_an_image_that_is_none_is_named(folder, tmp_path):
    (folder / "val2017" / "000000000285.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"285\.png is no readable image"):
        opened(folder, tmp_path)


def test_calibration_images_are_listed_or_left_over(folder, tmp_path):
    everything = opened(folder, tmp_path).load(np.arange(3)).inputs[0]
    library = opened(folder, tmp_path, count=2)
    assert (library.calibration(1)[0] == everything[2:]).all()
    with pytest.raises(ConfigError, match=r"Calibration needs 2 .*calibration_map.txt"):
        library.calibration(2)
    (folder / "calibration_map.txt").write_text("000000000632.png\n000000000139.png\n")
    assert (library.calibration(2)[0] == everything[[2, 0]]).all()
    (folder / "train2017").mkdir()
    Image.new("RGB", (9, 9), (7, 7, 7)).save(folder / "train2017" / "000000391895.png")
    names = tmp_path / "coco_cal_images_list.txt"
    names.write_text("000000391895.png\n000000000285.png\n")
    library = opened(folder, tmp_path, calibration_list=str(names))
    first, second = library.calibration(2)[0]
    assert (first == 7).all() and (second == everything[1]).all()
    assert [library.evaluated_too(n) for n in (1, 2)] == [0, 1]
    assert opened(folder, tmp_path, count=1, calibration_list=str(names)).evaluated_too(2) == 0
