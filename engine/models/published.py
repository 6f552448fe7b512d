"""The suite's published ONNX files, run as they are: recognised by their outputs, fed and read in
this program's forms.

A classifier's file needs nothing but its names. A detector answers in several tensors, and may
want raw pixels: a few nodes before and behind it, of operators that every opset has, make it a
network like ours.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from onnx import ModelProto, TensorProto, helper, numpy_helper

from engine import config
from engine.errors import ConfigError
from engine.models import own
from engine.models.artefact import TensorSpec
from engine.models.reference import variant_of
from engine.models.ssd_resnet34 import CATEGORIES

PREFIX = "tailbound."
DETECTIONS = "detections"
EDGES = {"yxyx": [0, 1, 2, 3], "xyxy": [1, 0, 3, 2]}
"""Where ymin, xmin, ymax and xmax lie among a box's four numbers."""
IDS = {"ids": range(256), "coco80": [0, *CATEGORIES]}
"""COCO's id of each class number that a file answers."""


def as_it_is(model: config.Model) -> config.Model:
    """``model`` as a file to be run, if ``model.weights`` is an ONNX file with the outputs that
    ``model.outputs`` names; as it was, if it is anything else.

    Raises ConfigError if the config asks for a version of the network that the file is not.
    """
    if model.weights is None or not wanted(model.outputs):
        return model
    if Path(model.weights).suffix.lower() != ".onnx":
        return model
    loaded = own.load(
        Path(model.weights).expanduser(), "model.weights", check=False, external=False
    )
    if not wanted(model.outputs) <= {value.name for value in loaded.graph.output}:
        return model
    if variant := variant_of(*model.version):
        raise ConfigError(
            f"model.weights={model.weights} is run as it is, so model={model.name} cannot be made "
            f"another version ({variant}): a file has its own width, depth and size. Leave "
            "model.width, model.depth and model.size; model.preprocessing.size fits an input of "
            "another size."
        )
    return dataclasses.replace(
        model,
        kind="onnx",
        path=model.weights,
        weights=None,
        size=None,
        width=1.0,
        depth=1.0,
        output=None if model.outputs.boxes else model.outputs.classes,
        label_offset=model.outputs.label_offset,
        preprocessing=fitting(model.preprocessing, own.select_input(loaded, None)),
    )


def wanted(outputs: config.Outputs) -> set[str]:
    """The outputs that a file must have to be run as it is."""
    return {name for name in (outputs.classes, outputs.boxes, outputs.scores) if name is not None}


def fitting(preprocessing: config.Preprocessing, spec: TensorSpec) -> config.Preprocessing:
    """The preprocessing in the file's own layout; raw pixels where it takes bytes."""
    known = {3: "nhwc", 1: "nchw"}
    layouts = {known[at] for at in known if spec.shape[at : at + 1] == (3,)}
    layout = layouts.pop() if len(layouts) == 1 else preprocessing.layout
    fitted = dataclasses.replace(preprocessing, layout=layout)
    if spec.dtype != "uint8":
        return fitted
    return dataclasses.replace(fitted, scale=1.0, mean=[0.0] * 3, std=[1.0] * 3)


def detector(model: ModelProto, outputs: config.Outputs) -> ModelProto:
    """The file's network with an input ``image`` beside its own, bytes taken as float32, and our
    output ``detections``: rows of [image, ymin, xmin, ymax, xmax, score, category] as in
    ``engine.models.ssd``.

    Raises ConfigError if it lacks an output that ``outputs`` names.
    """
    if not (outputs.boxes and outputs.scores and outputs.classes):
        raise ConfigError(
            "A detector's file needs the names of its outputs: set model.outputs.boxes, "
            "model.outputs.scores and model.outputs.classes."
        )
    spec = own.select_input(model, None)
    adapted = ModelProto()
    adapted.CopyFrom(model)
    graph = adapted.graph
    boxes, scores, classes = (
        own.select_output(model, name) for name in (outputs.boxes, outputs.scores, outputs.classes)
    )
    batch = (spec.shape[0] if spec.shape else None) or "batch"
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch]))

    def constant(name: str, value: ArrayLike, dtype: DTypeLike) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), PREFIX + name))
        return PREFIX + name

    def node(op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        graph.node.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    column = constant("column", [0, -1, 1], np.int64)
    edges = constant("edges", EDGES[outputs.corners], np.int64)
    ids = constant("ids", IDS[outputs.categories], np.float32)
    corners = node("Gather", f"{PREFIX}corners", [boxes, edges], axis=2)
    score = node("Reshape", f"{PREFIX}score", [scores, column])
    number = node("Cast", f"{PREFIX}class", [classes], to=TensorProto.INT64)
    category = node("Gather", f"{PREFIX}category", [ids, number], axis=0)
    category = node("Reshape", f"{PREFIX}categories", [category, column])
    image = node("Reshape", f"{PREFIX}image", ["image", constant("row", [-1, 1, 1], np.int64)])
    zeros = node("Mul", f"{PREFIX}zeros", [score, constant("zero", 0.0, np.float32)])
    image = node("Add", f"{PREFIX}images", [zeros, image])
    found = node("Concat", DETECTIONS, [image, corners, score, category], axis=2)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(found, TensorProto.FLOAT, [batch, "detections", 7])
    )
    return _fed_numbers(adapted, spec) if spec.dtype == "uint8" else adapted


def _fed_numbers(model: ModelProto, spec: TensorSpec) -> ModelProto:
    """The network that takes pixels as float32 instead of bytes, under another name."""
    graph = model.graph
    (value,) = [value for value in graph.input if value.name == spec.name]
    value.name = f"{PREFIX}pixels"
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    cast = helper.make_node(
        "Cast", [value.name], [spec.name], f"{PREFIX}bytes", to=TensorProto.UINT8
    )
    nodes = [cast, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model
