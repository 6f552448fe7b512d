"""A folder with COCO's images and ``instances_val2017.json``, as COCO unpacks.

The annotations lie in ``annotations/`` or in the folder itself, the images in ``val2017/`` or in
the folder. Sample i is the i-th image that the file lists. Calibration images are those that
``dataset.calibration_list`` or ``calibration_map.txt`` names, one a line, which may lie in
``train2017/`` too; or else those that ``dataset.count`` leaves over.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow_version

from engine import config
from engine.cache import Cache, key_of
from engine.datasets import photographs, pixels
from engine.datasets.library import Library
from engine.errors import ConfigError

INSTANCES, IMAGES, TRAINING = "instances_val2017.json", "val2017", "train2017"

Rows = list[dict[str, Any]]


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Library:
    """The first ``dataset.count`` images that the annotations list, resized to the input."""
    folder = photographs.folder_of(dataset, INSTANCES)
    annotations = folder / "annotations" / INSTANCES
    truth = read_instances(annotations if annotations.is_file() else folder / INSTANCES)
    images, count = truth["images"], dataset.count or len(truth["images"])
    if count > len(images):
        raise ConfigError(f"dataset.count={count} is more than the {len(images)} of {INSTANCES}.")
    truth = first(truth, count)
    if all(row["iscrowd"] for row in truth["annotations"]):
        raise ConfigError(
            f"The {count} images that {INSTANCES} lists first hold no object to be found (an "
            "annotation without iscrowd), so there is no quality to measure. Give the annotations "
            "of these images, or raise dataset.count=."
        )
    home = folder / IMAGES if (folder / IMAGES).is_dir() else folder
    files, size = [home / row["file_name"] for row in images], preprocessing.size
    done = (pillow_version, inspect.getsource(decode), size)
    key = key_of("coco", *done, [photographs.identity(f) for f in files[:count]])

    def image(i: int) -> NDArray[np.uint8]:
        return decode(files[i], size, _shape(images[i]))

    def listed() -> list[Path] | None:
        return photographs.listed(dataset, folder, (home, folder / TRAINING, folder))

    array, digest = pixels.cached(cache, key, count, size, image, progress)
    performance_count = dataset.performance_sample_count or pixels.PERFORMANCE_COUNT
    return Library(
        name=dataset.name,
        synthetic=False,
        performance_count=min(performance_count, count),
        truth=truth,
        pixels=array,
        pixels_sha256=digest,
        preprocessing=preprocessing,
        calibration_pixels=lambda n: photographs.calibration(
            listed(),
            files[count:],
            n,
            lambda path: decode(path, size),
        ),
        image=image,
        evaluated_too=lambda n: photographs.evaluated_too(listed(), files[:count], n),
    )


def read_instances(path: Path) -> dict[str, Rows]:
    """Images, boxes and categories of an annotation file, in its order, without outlines.

    Raises ConfigError naming the first row that is not as COCO's are.
    """
    text = photographs.read_text(
        path,
        f"dataset.path must be a folder with COCO's images (in {IMAGES}/) and {INSTANCES} (in "
        "annotations/).",
    )
    try:
        found = json.loads(text)
        parts = {name: found[name] for name in ("images", "annotations", "categories")}
        if not all(isinstance(rows, list) for rows in parts.values()) or not parts["images"]:
            raise TypeError("its images, annotations and categories are no lists of some")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no COCO annotation file: it must be JSON with the lists images, "
            f"annotations and categories ({type(error).__name__}: {error})."
        ) from error
    categories = _each(path, "categories", parts["categories"], _category)
    images = _each(path, "images", parts["images"], _image)
    known = {row["id"] for row in images}, {row["id"] for row in categories}
    boxes = _each(path, "annotations", parts["annotations"], lambda row: _annotation(row, *known))
    for row in images:
        photographs.check_inside(row["file_name"], str(path))
    return {"images": images, "annotations": boxes, "categories": categories}


def first(truth: dict[str, Rows], count: int) -> dict[str, Rows]:
    """The truth of the first ``count`` images alone."""
    images = truth["images"][:count]
    ids = {row["id"] for row in images}
    boxes = [row for row in truth["annotations"] if row["image_id"] in ids]
    return truth | {"images": images, "annotations": boxes}


def decode(path: Path, size: int, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """One image, both sides resized: uint8 [size, size, 3], RGB.

    Each pixel is interpolated between the four around its place, also where the image becomes
    smaller, as the suite has it done (OpenCV's INTER_LINEAR, to within one level).
    ``shape``: width and height that it is said to have; ConfigError if it has others.
    """
    rgb = photographs.rgb(path)
    if shape is not None and rgb.size != shape:
        raise ConfigError(
            f"The image {path} has {rgb.width} x {rgb.height} pixels, but {INSTANCES} says "
            f"{shape[0]} x {shape[1]}: its boxes would not fit."
        )
    scale = (rgb.width / size, 0, 0, 0, rgb.height / size, 0)
    resized = rgb.transform((size, size), Image.Transform.AFFINE, scale, Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)


def _shape(image: dict[str, Any]) -> tuple[int, int]:
    return image["width"], image["height"]


def _each(path: Path, part: str, rows: Rows, read: Callable[[dict[str, Any]], Any]) -> Rows:
    found: Rows = []
    for number, row in enumerate(rows):
        try:
            found.append(read(row))
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}: {part}[{number}] is not as COCO's are ({type(error).__name__}: {error})."
            ) from error
    if len({row["id"] for row in found}) < len(found):
        raise ConfigError(f"{path}: an id comes twice among its {part}.")
    return found


def _category(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": int(row["id"]), "name": str(row["name"])}


def _image(row: dict[str, Any]) -> dict[str, Any]:
    sides = {name: int(row[name]) for name in ("width", "height")}
    if min(sides.values()) < 1:
        raise ValueError("an image without pixels")
    return {"id": int(row["id"]), "file_name": str(row["file_name"])} | sides


def _annotation(row: dict[str, Any], images: set[int], categories: set[int]) -> dict[str, Any]:
    left, top, width, height = (float(edge) for edge in row["bbox"])
    if row["image_id"] not in images or row["category_id"] not in categories:
        raise ValueError("its image_id or category_id is none of the file's")
    if not np.isfinite([left, top, width, height]).all() or min(width, height) < 0:
        raise ValueError("bbox must be left, top, width and height, finite")
    area = float(row.get("area", width * height))
    if not 0 <= area < np.inf:
        raise ValueError(f"area={area} must be finite and not below 0")
    return {
        "id": int(row["id"]),
        "image_id": int(row["image_id"]),
        "category_id": int(row["category_id"]),
        "bbox": [left, top, width, height],
        "area": area,
        "iscrowd": int(row.get("iscrowd", 0)),
    }
