"""A folder of images with ``val_map.txt``, the form in which the suite reads ImageNet.

Each line of the map is ``relative/name.jpg LABEL``. Calibration images are those that
``dataset.calibration_list`` or ``calibration_map.txt`` names, one a line, used as it is given: the
suite's own list names validation images. Without one they are the lines of ``val_map.txt`` that
``dataset.count`` leaves out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow_version

from engine import config
from engine.cache import Cache, key_of
from engine.datasets import photographs, pixels
from engine.datasets.library import Library
from engine.datasets.photographs import MAX_PIXELS
from engine.errors import ConfigError

CLASSES = 1000
MAP = "val_map.txt"

Entry = tuple[str, int]


def open_library(
    dataset: config.Dataset,
    task: str,
    preprocessing: config.Preprocessing,
    cache: Cache,
    progress: Callable[[str], None],
) -> Library:
    """The first ``dataset.count`` lines of the folder's map, decoded and cropped."""
    folder = photographs.folder_of(dataset, MAP)
    entries = read_map(folder / MAP)
    count = dataset.count or len(entries)
    if count > len(entries):
        raise ConfigError(
            f"dataset.count={count} is more than the {len(entries)} lines of {folder / MAP}."
        )
    files = [folder / name for name, _ in entries[:count]]
    p = preprocessing
    done = (pillow_version, inspect.getsource(decode), p.size, p.resize)
    key = key_of("imagenet", *done, [photographs.identity(f) for f in files])

    def image(i: int) -> NDArray[np.uint8]:
        return decode(files[i], p.resize, p.size)

    def listed() -> list[Path] | None:
        return photographs.listed(dataset, folder, (folder,))

    array, digest = pixels.cached(cache, key, count, p.size, image, progress)
    performance_count = dataset.performance_sample_count or pixels.PERFORMANCE_COUNT
    return Library(
        name=dataset.name,
        synthetic=False,
        performance_count=min(performance_count, count),
        truth=np.array([label for _, label in entries[:count]], np.int64),
        pixels=array,
        pixels_sha256=digest,
        preprocessing=preprocessing,
        calibration_pixels=lambda n: photographs.calibration(
            listed(),
            [folder / name for name, _ in entries[count:]],
            n,
            lambda path: decode(path, p.resize, p.size),
        ),
        image=image,
        evaluated_too=lambda n: photographs.evaluated_too(listed(), files, n),
    )


def read_map(path: Path) -> list[Entry]:
    """Names and labels of a map file, in order.

    Raises ConfigError naming the first line that is malformed, leaves the folder, or has a label
    outside 0 ... 999.
    """
    lines = photographs.read_text(
        path,
        "dataset.path must be a folder with the images and that file, one line 'name.jpg LABEL' "
        "for each image.",
    ).splitlines()
    numbered = ((i, line.strip()) for i, line in enumerate(lines, 1))
    entries = [_entry(line, f"{path}, line {i}") for i, line in numbered if line]
    if not entries:
        raise ConfigError(f"{path} is empty: it needs a line 'name.jpg LABEL' for each image.")
    return entries


def decode(path: Path, resize: int, size: int) -> NDArray[np.uint8]:
    """One image: shorter side to ``resize`` (bilinear), centre crop; uint8 [size, size, 3] RGB."""
    rgb = photographs.rgb(path)
    share = resize / min(rgb.size)
    width, height = (max(resize, round(side * share)) for side in rgb.size)
    if width * height > MAX_PIXELS:  # a very long image, enlarged by its shorter side
        raise ConfigError(f"The image {path} has {rgb.width} x {rgb.height} pixels: too long.")
    left, top = (width - size) // 2, (height - size) // 2
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)), np.uint8)


def _entry(line: str, where: str) -> Entry:
    name, _, label = line.rpartition(" ")
    if not name.strip() or not label.isdecimal():
        raise ConfigError(f"{where}: '{line[:80]}' is not of the form 'name.jpg LABEL'.")
    name = photographs.check_inside(name.strip(), where)
    if not 0 <= int(label) < CLASSES:
        raise ConfigError(f"{where}: the label {label} is not within 0 ... {CLASSES - 1}.")
    return name, int(label)
