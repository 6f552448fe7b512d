"""Rendered scenes with planted objects: their boxes and categories are the truth, in COCO's form.

A scene holds two to six shapes that do not overlap; shape and colour make the category. Scene
``i`` is the same on every machine, whatever the number of scenes (``drawing``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.datasets.drawing import (
    COLOURS,
    SHAPES,
    Draws,
    Ints,
    Pose,
    background,
    inside,
    jitter,
    noise,
)

PALETTE = {"red": 0, "yellow": 2, "green": 3, "blue": 5, "pink": 7}
CATEGORIES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in PALETTE)
"""Their ids are 1, 2, ...: ids that COCO uses too, so that its detectors can name them."""

LEAST, SPREAD = 18, 26
"""Radius of an object: 18 to 43 in 224 of the image's side."""

ATTEMPTS = 12


@dataclass(frozen=True)
class Object:
    """A planted object; ``box``: left, top, width and height in pixels, tight around ``mask``.

    ``mask``: bool [height, width], the box's pixels that belong to the object. ``paint``: RGB.
    """

    category: int
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    paint: Ints


def scene(split: str, index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """One image: uint8 [size, size, 3], RGB."""
    draws = Draws(split, index, seed)
    planted = _planted(draws, size)
    canvas = background(draws, size)
    for each in planted:
        left, top, width, height = each.box
        window = canvas[top : top + height, left : left + width]
        window[each.mask] = each.paint
    light = 160 + draws.below(97)
    return np.clip(canvas * light // 256 + noise(draws, size), 0, 255).astype(np.uint8)


def objects(split: str, index: int, size: int, seed: int = 0) -> list[Object]:
    """The objects in a scene."""
    return _planted(Draws(split, index, seed), size)


def coco(split: str, count: int, size: int, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The truth of the first ``count`` scenes as COCO's annotation files hold it."""
    images = [
        {"id": i, "file_name": f"{split}_{i:06}.png", "width": size, "height": size}
        for i in range(count)
    ]
    found = [(i, each) for i in range(count) for each in objects(split, i, size, seed)]
    annotations = [
        {
            "id": number,
            "image_id": i,
            "category_id": each.category,
            "bbox": [float(edge) for edge in each.box],
            "area": float(each.mask.sum()),
            "iscrowd": 0,
        }
        for number, (i, each) in enumerate(found, 1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _planted(draws: Draws, size: int) -> list[Object]:
    poses: list[Pose] = []
    planted = []
    for _ in range(2 + draws.below(5)):
        shape, colour = draws.below(len(SHAPES)), draws.below(len(PALETTE))
        paint = np.array([jitter(draws, c) for c in COLOURS[[*PALETTE.values()][colour]]], np.int32)
        tried = (Pose.drawn(draws, size, LEAST, SPREAD) for _ in range(ATTEMPTS))
        free = next((pose for pose in tried if not any(_touch(pose, p) for p in poses)), None)
        if free is not None:
            poses.append(free)
            category = 1 + shape * len(PALETTE) + colour
            planted.append(_object(category, SHAPES[shape], free, paint, size))
    return planted


def _touch(one: Pose, other: Pose) -> bool:
    reach = one.radius + other.radius
    return abs(one.x - other.x) < reach and abs(one.y - other.y) < reach


def _object(category: int, shape: str, pose: Pose, paint: Ints, size: int) -> Object:
    reach = pose.radius * 9 // 8 + 1  # a turned cross reaches a little beyond its radius
    columns, rows = (
        np.arange(max(0, at - reach), min(size, at + reach + 1), dtype=np.int32)
        for at in (pose.x, pose.y)
    )
    mask = inside(shape, *pose.coordinates(columns, rows), pose.radius)
    across, down = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    tight = mask[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    box = (int(columns[across[0]]), int(rows[down[0]]), tight.shape[1], tight.shape[0])
    return Object(category, box, tight, paint * 200 // 256)
