"""From a model's config to a file that can be run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine import config
from engine.cache import Cache, Cached, key_of
from engine.errors import ConfigError
from engine.models.artefact import Artefact
from engine.paths import must_be_file

if TYPE_CHECKING:
    from onnx import ModelProto

    from engine.models.graph import Network, Weights

Calibration = Callable[[int], tuple[NDArray[Any], ...]]
Progress = Callable[[str], None]


def check(model: config.Model) -> None:
    """Raise ConfigError for what can be refused before minutes are spent on the data."""
    if model.kind == "onnx":
        if model.task == "translation":
            raise ConfigError(
                "model=onnx with model.task=translation: image classifiers and detectors can be "
                "run from a file, translators cannot so far. Use model=gnmt with "
                "model.weights=FILE."
            )
        if (model.width, model.depth, model.size) != (1, 1, None):
            raise ConfigError(
                "model.width, model.depth and model.size belong to reference networks: leave them."
            )
        if model.path is None:
            raise ConfigError("model=onnx needs a network: set model.path=FILE.onnx.")
    for key, path in (("model.path", model.path), ("model.weights", model.weights)):
        if path is not None:
            must_be_file(key, Path(path))


def prepare(
    model: config.Model,
    precision: config.Precision,
    cache: Cache,
    calibration: Calibration,
    progress: Progress = lambda message: None,
) -> Artefact:
    """The network that ``model`` names, in the precision asked for, built unless it is cached.

    ``calibration(count)``: the network's inputs, float32 [count, ...] each, of samples to
    calibrate with; called only for int8. ``progress`` receives one line before each long step.
    Raises ConfigError for anything in the config or the files it names that cannot be used.
    """
    artefact = _own(model, cache) if model.kind == "onnx" else _reference(model, cache, progress)
    _check_input(model, artefact)
    if precision.name not in ("int8", "int4"):  # a system of 16 bits casts the weights itself
        return dataclasses.replace(artefact, precision=precision.name)
    if model.task == "translation":
        return _lightened(artefact, precision.name, cache, progress)
    if precision.name == "int4":
        raise ConfigError(
            f"precision=int4 is for translation: {model.name} computes in convolutions, which "
            "no system here has in 4 bits. Use precision=int8."
        )
    return _quantised(artefact, precision, cache, calibration, progress)


def _reference(model: config.Model, cache: Cache, progress: Progress) -> Artefact:
    from engine.models.reference import network_of, variant_of

    network = network_of(*model.version)
    weights, values = _weights(model, network)

    def build(path: Path) -> None:
        from onnx import save

        progress(f"building {model.name}")
        save(network.model(values()), str(path), format="protobuf")

    key = key_of("fp32", network.name, weights, model.seed, model.label_offset, _source())
    file = cache.file(key, ".onnx", build)
    artefact = _described(model, file, weights, model.output or network.response)
    return dataclasses.replace(artefact, variant=variant_of(*model.version))


def _weights(model: config.Model, network: Network) -> tuple[str, Callable[[], Weights]]:
    from engine.models import weights

    if model.weights is not None:
        path = Path(model.weights).expanduser()
        digest = weights.content_sha256(path)
        return f"{path.name} sha256:{digest}", lambda: weights.from_file(network, path)
    fit = weights.read_fitted(network.name) if model.seed == weights.FITTED_SEED else None
    if fit is None:
        return "seeded", lambda: weights.seeded(network, model.seed)
    return "fitted", lambda: weights.fitted(network, model.label_offset, fit)


def _own(model: config.Model, cache: Cache) -> Artefact:
    from engine.models import own

    assert model.path is not None
    path = Path(model.path).expanduser().absolute()
    loaded = own.load(path, "model.path")
    digest = own.content_sha256(path, loaded)
    weights = f"{path.name} sha256:{digest}"
    own.select_input(loaded, model.input)
    if model.task == "object_detection":
        adapted = _adapted(
            loaded, model, key_of("detector", digest, model.outputs, _source()), cache
        )
        return _described(model, adapted, weights, "detections")
    output = own.select_output(loaded, model.output)
    if own.is_fixed_to_one(loaded):
        key = key_of("batch", digest, output, _versions(), _source())
        if freed := _freed(loaded, key, cache):
            return _described(model, freed, weights, output)
    return _described(model, Cached(path, digest), weights, output, loaded)


def _adapted(loaded: ModelProto, model: config.Model, key: str, cache: Cache) -> Cached:
    """The user's detector with the inputs and the output that ours have."""
    from onnx import save

    from engine.models import published

    adapted = published.detector(loaded, model.outputs)
    return cache.file(key, ".onnx", lambda path: save(adapted, str(path), format="protobuf"))


def _freed(loaded: ModelProto, key: str, cache: Cache) -> Cached | None:
    """The user's network with a dynamic batch dimension, None if it cannot have one."""
    from onnx import save

    from engine.models import batching

    if (freed := batching.with_dynamic_batch(loaded)) is None:
        return None
    return cache.file(key, ".onnx", lambda path: save(freed, str(path), format="protobuf"))


def _described(
    model: config.Model, file: Cached, weights: str, output: str, loaded: ModelProto | None = None
) -> Artefact:
    """The network in ``file``, which is ``loaded`` if it has been read before."""
    from engine.models import counting, own

    loaded = loaded or own.load(file.path, "model.path", check=False)
    output = own.select_output(loaded, output)
    return Artefact(
        name=model.name,
        precision="fp32",
        path=file.path,
        sha256=file.sha256,
        parameters=counting.parameters(loaded),
        operations=counting.operations(loaded),
        inputs=own.input_specs(loaded, model.input),
        output=own.output_spec(loaded, output),
        weights=weights,
    )


def _check_input(model: config.Model, artefact: Artefact) -> None:
    if model.task == "translation":
        if model.size is not None:
            raise ConfigError(f"model.size={model.size}: sentences have none. Leave it.")
        return
    spec, p = artefact.inputs[0], model.preprocessing
    wanted = (3, p.size, p.size) if p.layout == "nchw" else (p.size, p.size, 3)
    fits = len(spec.shape) == 4 and all(
        have in (None, want) for have, want in zip(spec.shape[1:], wanted, strict=True)
    )
    if spec.dtype != "float32" or not fits:
        shape = ["batch" if i == 0 else d or "any" for i, d in enumerate(spec.shape)]
        sides = {side for side in spec.shape[1:] if side not in (None, 3)}
        size = f"={sides.pop()}" if len(sides) == 1 else ""
        raise ConfigError(
            f"The network's input {spec.name} is {spec.dtype} {shape}, but the preprocessing "
            f"makes float32 [batch, {', '.join(map(str, wanted))}]: set "
            f"model.preprocessing.size{size} and model.preprocessing.layout to match the network."
        )


def _quantised(
    artefact: Artefact,
    precision: config.Precision,
    cache: Cache,
    calibration: Calibration,
    progress: Progress,
) -> Artefact:
    from engine.models import quantise, rounding, saturation

    arrays = calibration(precision.calibration_count)
    names = [spec.name for spec in artefact.inputs]
    count, percentile = len(arrays[0]), precision.calibration_method == "percentile"
    step = quantise.BATCH if artefact.fixed_batch is None else 1
    if percentile and step > 1:
        step = quantise.even_batch(count, sum(array[:1].nbytes for array in arrays))
    feeds = [
        {name: array[i : i + step] for name, array in zip(names, arrays, strict=True)}
        for i in range(0, count, step)
    ]
    saturating, gptq = saturation.products_saturate(), precision.weight_rounding == "gptq"
    source = artefact.path

    def build(path: Path) -> None:
        progress(f"quantising {artefact.name} to int8 with {count} calibration samples")
        quantise.quantise(source, path, feeds, saturating, cache, percentile, gptq)

    hashes = [_hash(a) for a in arrays]
    asked = (saturating, percentile, gptq)
    key = key_of("int8", artefact.sha256, hashes, *asked, _versions(), _source())
    file = cache.file(key, ".onnx", build)
    how = [saturation.RANGES] * saturating + [rounding.GPTQ] * gptq
    return _lighter(artefact, "int8", file, "; ".join(how))


def _lightened(artefact: Artefact, name: str, cache: Cache, progress: Progress) -> Artefact:
    from engine.models import quantise, saturation

    saturating = saturation.products_saturate()

    def build(path: Path) -> None:
        progress(f"quantising the weights of {artefact.name} to {name}")
        quantise.quantise_weights(artefact.path, path, saturating, cache, name == "int4")

    key = key_of(name, artefact.sha256, saturating, _versions(), _source())
    file = cache.file(key, ".onnx", build)
    how = saturation.UNSIGNED if saturating else ""
    return _lighter(artefact, name, file, how)


def _lighter(artefact: Artefact, precision: str, file: Cached, how: str) -> Artefact:
    return dataclasses.replace(
        artefact, precision=precision, path=file.path, sha256=file.sha256, quantisation=how
    )


def _hash(array: NDArray[Any]) -> str:
    return key_of(array.shape, array.dtype.str, np.ascontiguousarray(array).tobytes())


def _versions() -> tuple[str, str]:
    import onnx
    import onnxruntime

    return onnx.__version__, onnxruntime.__version__


def _source() -> str:
    """Key of this package's own code and fitted files: a change of either builds anew."""
    package = resources.files("engine.models")
    files = [f for f in package.iterdir() if f.name.endswith(".py")]
    files += [f for f in package.joinpath("fitted").iterdir() if f.name.endswith(".npz")]
    return key_of(*(f.read_bytes() for f in sorted(files, key=lambda f: f.name)))
