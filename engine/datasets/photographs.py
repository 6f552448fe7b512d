"""Folders of image files: found, checked, decoded, and some of them set aside for calibration."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from engine import config
from engine.datasets import pixels
from engine.errors import ConfigError

MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "WEBP")
CALIBRATION_MAP = "calibration_map.txt"
_LABEL = re.compile(r"\s+\d+$")


def folder_of(dataset: config.Dataset, needs: str) -> Path:
    """The folder that ``dataset.path`` names; ``needs``: the file that is expected there."""
    if dataset.path is None:
        raise ConfigError(f"dataset={dataset.name} needs dataset.path=FOLDER (see {needs} there).")
    folder = Path(dataset.path).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"dataset.path={folder}: there is no such folder.")
    return folder


def read_text(path: Path, missing: str) -> str:
    """A file's text; ``missing``: what to tell the user if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: {missing}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def check_inside(name: str, where: str) -> str:
    """``name`` if it stays in the data set's folder, else ConfigError."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\0" in name:
        raise ConfigError(f"{where}: '{name[:80]}' leaves the data set's folder.")
    return name


def rgb(path: Path) -> Image.Image:
    """The image in ``path``, decoded; ConfigError if it is missing, no image, or enormous."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ConfigError(f"The image {path} has more than {MAX_PIXELS:,} pixels.")
            return image.convert("RGB")
    except FileNotFoundError:
        raise ConfigError(f"The image {path} is missing, though the data set names it.") from None
    except _IMAGE_ERRORS as error:
        raise ConfigError(f"{path} is no readable image ({'/'.join(FORMATS)}): {error}") from error


def identity(path: Path) -> tuple[str, int, int]:
    """Name, size and time of change: what a cached copy of the image is recognised by."""
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"The image {path} is missing, though the data set names it.") from error
    return str(path), found.st_size, found.st_mtime_ns


def listed(dataset: config.Dataset, folder: Path, homes: Sequence[Path]) -> list[Path] | None:
    """The images to calibrate with, by ``dataset.calibration_list`` or the folder's own map.

    A name on each line, which a label may follow; the image lies in the first of ``homes`` that
    has it. None without a list.
    """
    if dataset.calibration_list is not None:
        path = Path(dataset.calibration_list).expanduser()
    else:
        path = folder / CALIBRATION_MAP
        if not path.is_file():
            return None
    lines = read_text(path, "dataset.calibration_list must be a file of names, one a line.")
    names = [_LABEL.sub("", line.strip()) for line in lines.splitlines()]
    found = [_placed(check_inside(name, str(path)), homes) for name in names if name]
    if not found:
        raise ConfigError(f"{path} is empty: it needs the name of an image on each line.")
    return found


def evaluated_too(listed: Sequence[Path] | None, evaluated: Sequence[Path], count: int) -> int:
    """How many of the first ``count`` images of the list are among those ``evaluated``."""
    samples = {*evaluated}
    return sum(path in samples for path in (listed or [])[:count])


def _placed(name: str, homes: Sequence[Path]) -> Path:
    places = [home / name for home in homes]
    return next((place for place in places if place.is_file()), places[0])


def calibration(
    listed: Sequence[Path] | None,
    left_out: Sequence[Path],
    count: int,
    decode: Callable[[Path], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """The first ``count`` images of the list, or without one of those that are not evaluated."""
    files = left_out if listed is None else listed
    if len(files) < count:
        source = "dataset.count leaves over" if listed is None else "the list of them names"
        raise ConfigError(
            f"Calibration needs {count} images that are not evaluated; {source} {len(files)}. "
            f"Give them in dataset.calibration_list= or {CALIBRATION_MAP}, set dataset.count= "
            "below the number of images, or lower precision.calibration_count=."
        )
    return pixels.stacked(count, lambda i: decode(files[i]))


_IMAGE_ERRORS = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    SyntaxError,
    ValueError,
)
