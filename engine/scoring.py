"""How each task's answers are scored: the evaluator and what it needs, by the model's task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.config import Model
from engine.errors import SutError
from evaluators.quality import Quality

if TYPE_CHECKING:
    from engine.datasets import Library

Response = NDArray[np.generic]
Responses = Sequence[Response | None]


def score(responses: Responses, truth: Any, model: Model) -> Quality:
    """The quality of ``responses`` (one a sample, in order); SutError if they have none."""
    try:
        return _SCORES[model.task](responses, truth)
    except ValueError as error:
        raise SutError(f"The answers cannot be scored: {error}") from error


def answering(library: Library, model: Model) -> Callable[[Response], Response]:
    """What makes of a response what is logged and scored: of a class, the label that it means."""
    if model.task == "image_classification":
        from evaluators.top1 import labelled

        return partial(labelled, offset=model.label_offset)
    return library.answer


def _top1(responses: Responses, truth: Any) -> Quality:
    from evaluators.top1 import top1

    return top1(responses, truth)


def _coco_map(responses: Responses, truth: Any) -> Quality:
    from evaluators.coco_map import coco_map

    return coco_map(responses, truth)


def _bleu(responses: Responses, truth: Any) -> Quality:
    from evaluators.bleu import bleu

    return bleu(responses, truth)


_SCORES: dict[str, Callable[[Responses, Any], Quality]] = {
    "image_classification": _top1,
    "object_detection": _coco_map,
    "translation": _bleu,
}
