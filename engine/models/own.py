"""A network from a file of the user's own: checked, and its inputs and outputs described."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto, helper
from onnx.external_data_helper import (
    ExternalDataInfo,
    _get_all_tensors,
    load_external_data_for_model,
    uses_external_data,
)

from engine.errors import ConfigError
from engine.models.artefact import TensorSpec
from engine.paths import must_be_file


def load(path: Path, key: str, check: bool = True, external: bool = True) -> ModelProto:
    """The network in ``path``; ``key`` is the config key to blame.

    ``external``: whether the tensors are loaded that lie in files beside it.

    Raises ConfigError if the file is missing, is no valid ONNX model, or names external data
    that is missing or lies outside the file's own folder.
    """
    must_be_file(key, path)
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        for file in external_files(path, model):
            if not file.is_relative_to(path.parent.resolve()) or not file.is_file():
                raise ConfigError(
                    f"{key}={path}: its external data {file} is missing or outside its folder."
                )
        if check:
            onnx.checker.check_model(str(path))
        if external:
            load_external_data_for_model(model, str(path.parent))
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "not an ONNX file"
        raise ConfigError(f"{key}={path} is not a valid ONNX network: {reason}") from error
    return model


def external_files(path: Path, model: ModelProto) -> list[Path]:
    """Files beside ``path`` that hold some of the network's tensors, resolved, each once."""
    names = {
        ExternalDataInfo(tensor).location
        for tensor in _get_all_tensors(model)
        if uses_external_data(tensor)
    }
    return sorted((path.parent / name).resolve() for name in names)


def content_sha256(path: Path, model: ModelProto) -> str:
    """Hex sha256 of the file, followed by its loaded external data if it had any."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    bare = onnx.load(str(path), format="protobuf", load_external_data=False)
    for extra in external_files(path, bare):
        digest.update(extra.read_bytes())
    return digest.hexdigest()


def input_specs(model: ModelProto, name: str | None) -> tuple[TensorSpec, ...]:
    """The network's inputs, ``name`` checked to be the first if it is given."""
    inputs = _inputs(model)
    if name is not None:
        _select(inputs[:1], name, "input")
    return tuple(_spec(value) for value in inputs)


def select_input(model: ModelProto, name: str | None) -> TensorSpec:
    """The network's one input (initialisers that double as inputs aside).

    Raises ConfigError if ``name`` is none of its inputs or it needs more than one.
    """
    inputs = _inputs(model)
    chosen = _select(inputs, name, "input")
    if len(inputs) > 1:
        raise ConfigError(
            f"The network needs the inputs {_names(inputs)}; an image classifier is fed one."
        )
    return _spec(chosen)


def select_output(model: ModelProto, name: str | None) -> str:
    """Name of the output to run: ``name``, or the only one there is."""
    return _select(list(model.graph.output), name, "output").name


def output_spec(model: ModelProto, name: str) -> TensorSpec:
    """Name, dtype and shape of an output."""
    return _spec(next(value for value in model.graph.output if value.name == name))


def is_fixed_to_one(model: ModelProto) -> bool:
    """Whether the network's input takes a batch of one and no other."""
    return select_input(model, None).shape[:1] == (1,)


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _select(values: Sequence[ValueInfoProto], name: str | None, what: str) -> ValueInfoProto:
    if name is None and len(values) == 1:
        return values[0]
    for value in values:
        if value.name == name:
            return value
    problem = f"has {len(values)} {what}s" if name is None else f"has no {what} {name}"
    raise ConfigError(f"The network {problem}: set model.{what}= to one of {_names(values)}.")


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type == TensorProto.UNDEFINED:
        raise ConfigError(f"The network's {value.name} is no plain tensor.")
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    dims = tensor.shape.dim
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
    return TensorSpec(value.name, dtype, shape)


def _names(values: Sequence[ValueInfoProto]) -> str:
    return ", ".join(value.name for value in values) or "(none)"
