"""Mean average precision of object detection as COCO defines it, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.quality import Quality, answered_once, refuse

Truth = Mapping[str, Sequence[Mapping[str, Any]]]
"""COCO's annotation format: ``images`` (id, width, height), ``annotations`` (image_id,
category_id, bbox in pixels, area, iscrowd) and ``categories`` (id, name)."""

ROW = 7
"""Numbers of a detection: image, ymin, xmin, ymax, xmax, score, category."""


def coco_map(
    responses: Sequence[NDArray[np.generic] | None],
    truth: Truth,
    sample_ids: Sequence[int] | None = None,
) -> Quality:
    """mAP averaged over IoU 0.5 to 0.95, all areas, at most 100 detections an image; in percent.

    ``responses``: for each image of ``truth``, in its order, detections in the encoding of the
    suite's accuracy logs: float32, rows of [image, ymin, xmin, ymax, xmax, score, category],
    flattened or not; ``image`` is the image's place in ``truth``, corners are shares of its
    height and width, category is COCO's id. Rows with score 0 hold nothing. ``sample_ids``: the
    images that the responses belong to, in case they are not all of them in order.

    Raises ValueError for responses that are missing, repeated, not finite, of another form, or
    of another image than theirs, naming them.
    """
    images = truth["images"]
    ids = answered_once(len(responses), sample_ids, len(images), "images")
    answered = zip(ids, responses, strict=True)
    refuse((sample, _problem(response, sample)) for sample, response in answered)
    found = [_detections(response, images) for response in responses if response is not None]
    return _evaluated(truth, np.concatenate(found))


def _problem(response: NDArray[np.generic] | None, sample: int) -> str | None:
    if response is None:
        return "are missing"
    array = np.asarray(response)
    if not np.issubdtype(array.dtype, np.floating) or array.size % ROW:
        return f"are no rows of {ROW} floating-point numbers"
    if not np.isfinite(array).all():
        return "hold NaN or infinity"
    if (array.reshape(-1, ROW)[:, 0] != sample).any():
        return "name another image than theirs"
    return None


def _detections(
    response: NDArray[np.generic], images: Sequence[Mapping[str, Any]]
) -> NDArray[np.float64]:
    """Rows of [image id, left, top, width, height, score, category], in pixels."""
    rows = np.asarray(response, np.float64).reshape(-1, ROW)
    rows = rows[rows[:, 5] > 0]
    if len(rows) == 0:
        return np.empty((0, ROW))
    image = images[int(rows[0, 0])]
    low, high = rows[:, [2, 1]], rows[:, [4, 3]]
    pixels = np.array([image["width"], image["height"]])
    number = np.full((len(rows), 1), image["id"])
    return np.hstack([number, low * pixels, (high - low) * pixels, rows[:, 5:]])


def _evaluated(truth: Truth, detections: NDArray[np.float64]) -> Quality:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {name: [dict(row) for row in rows] for name, rows in truth.items()}
        reference.createIndex()
        if len(detections):
            evaluation = COCOeval(reference, reference.loadRes(detections), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            precision, half, three_quarters = (max(0.0, float(s)) for s in evaluation.stats[:3])
        else:
            precision = half = three_quarters = 0.0
    count = len(truth["images"])
    return Quality(
        metric="coco_map_percent",
        name="mAP@[.5:.95]",
        value=100 * precision,
        unit="%",
        count=count,
        details={
            "ap50_percent": 100 * half,
            "ap75_percent": 100 * three_quarters,
            "detections": float(len(detections)),
        },
        note=f"{count:,} images; AP50 {100 * half:.2f} %, AP75 {100 * three_quarters:.2f} %",
    )
