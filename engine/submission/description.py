"""The system description: what the machine tells, what the user says, and what is missing."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib import metadata

from engine.config import Config
from engine.errors import ConfigError
from engine.published.rules import server_bound_ms
from engine.submission.config import CATEGORIES, SYSTEM_TYPES, SystemFields
from engine.submission.layout import AUDITS, ROUNDS, Place, found_place, place_of
from engine.submission.machine import accelerators, machine
from engine.submission.suite import REQUIRED, required

NAMES = tuple(field.name for field in dataclasses.fields(SystemFields))
# Fields that may not be empty, with what they mean; the rest may.
NEEDED = {
    "number_of_nodes": "machines that the system consists of",
    "host_processor_model_name": "the processor, as its maker calls it",
    "host_processors_per_node": "processors (sockets) of a machine",
    "host_processor_core_count": "cores of a processor",
    "host_memory_capacity": "memory of a machine, as in '256 GB'",
    "host_memory_configuration": "its modules, as in '8x 32 GB DDR5-4800'",
    "host_storage_capacity": "storage of a machine, as in '1 TB'",
    "host_storage_type": "its kind, as in 'NVMe SSD'",
    "host_networking": "the network, as in '10 Gbit Ethernet', or 'N/A'",
    "host_network_card_count": "network cards of a machine",
    "host_networking_topology": "how machines are connected, or 'N/A'",
    "accelerators_per_node": "accelerators of a machine, 0 without",
    "accelerator_model_name": "the accelerator, as its maker calls it",
    "accelerator_memory_capacity": "memory of an accelerator",
    "accelerator_memory_configuration": "its kind, as in 'HBM3e'",
    "accelerator_host_interconnect": "what joins accelerator and host, as in 'PCIe Gen5'",
    "accelerator_interconnect": "what joins accelerators, as in 'NVLink', or 'N/A'",
    "cooling": "how it is cooled, as in 'air' or 'liquid'",
    "framework": "the software that runs the network",
    "operating_system": "name and version",
    "other_software_stack": "other software, with versions",
}
HEADER = {
    "submitter": "who submits; a name of a folder",
    "category": f"one of {', '.join(CATEGORIES)}",
    "system_name": "a name for the system; also of a folder",
    "system_type": f"one of {', '.join(SYSTEM_TYPES)}",
}
FRAMEWORKS = {
    "onnxruntime": ("ONNX Runtime", "onnxruntime"),
    "openvino": ("OpenVINO", "openvino"),
    "cupy": ("CuPy and cuDNN", "cupy-cuda12x"),
    "tensorrt": ("TensorRT", "tensorrt"),
}
FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Description = dict[str, str]


def described(config: Config) -> Description:
    """The description as the suite's checker reads it; "" for what is not known."""
    own = config.submission
    known = {**machine(), **accelerators(config.gpus), "framework": _framework(config)}
    given = {name: value for name in NAMES if (value := getattr(own.system, name)) is not None}
    head = {
        "division": own.division,
        "submitter": own.submitter or "",
        "status": own.category or "",
        "system_name": own.system_name or "",
        "system_type": own.system_type or "",
    }
    fields = {name: {**known, **given}.get(name, "") for name in NAMES}
    on_chip = fields.pop("accelerator_on_chip_memories")
    return {**head, **fields, "accelerator_on-chip_memories": on_chip}


def _framework(config: Config) -> str:
    if config.sut.kind not in FRAMEWORKS:
        return ""
    name, package = FRAMEWORKS[config.sut.kind]
    try:
        return f"{name} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return name


def must_be_complete(config: Config) -> None:
    """Raise ConfigError where ``mode=submit`` could not end in a complete tree.

    One message names every key that is missing, with what it means.
    """
    if config.rules.name not in ROUNDS:
        raise ConfigError(
            f"mode=submit with rules={config.rules.name}: a submission is for a round, so choose "
            f"its rules: {' or '.join(f'rules={name}' for name in ROUNDS)}."
        )
    own, found = config.submission, described(config)
    place = place_of(config)
    must_be_taken(config)
    must_meet_the_bound(config)
    left_out = set(AUDITS) - set(config.audit.tests)
    if own.division == "closed" and left_out:
        raise ConfigError(
            f"submission.division=closed needs the audits {', '.join(AUDITS)}, and audit.tests "
            f"leaves out {', '.join(sorted(left_out))}: name all of them."
        )
    missing = {f"submission.{key}": why for key, why in HEADER.items() if not getattr(own, key)}
    missing |= {f"submission.system.{k}": why for k, why in NEEDED.items() if not found[k].strip()}
    if missing:
        lines = "".join(f"\n  {key}  {meaning}" for key, meaning in missing.items())
        raise ConfigError(
            f"mode=submit needs what this machine cannot tell; set these keys:{lines}"
        )
    for key in ("submitter", "system_name"):
        if not FOLDER_NAME.fullmatch(getattr(own, key)):
            raise ConfigError(
                f"submission.{key}={getattr(own, key)} is not allowed: it names a folder, so it "
                "must be of letters, digits, '.', '_' and '-', and begin with a letter or digit."
            )
    must_be_the_same_system(place, found)
    there = found_place(place.result)
    if (place.submitter / "results").is_dir() and there.gathered is not place.gathered:
        raise ConfigError(
            f"submission.path={own.path} is laid out for another round than {config.rules.name}: "
            "rounds up to v5.1 and from v6.0 on differ. Choose another submission.path."
        )


def must_be_taken(config: Config) -> None:
    """Raise ConfigError for a closed result that the round does not take at all."""
    own, edition = config.submission, config.rules.name
    if own.division != "closed" or own.system_type is None:
        return
    asked = required(edition, own.system_type, config.model.name)
    name, scenario = config.model.name, config.scenario.name
    if asked is None:
        kinds = REQUIRED[edition]
        taken = [kind for kind in SYSTEM_TYPES if required(edition, kind, name)]
        instead = f"submission.system_type={' or '.join(taken)}, " if taken else ""
        if not taken:
            known = sorted({model for models in kinds.values() for model in models})
            instead = f"one of its models ({', '.join(known)}), "
        raise ConfigError(
            f"{edition} takes no closed results of model={name} from "
            f"submission.system_type={own.system_type}: choose {instead}or "
            "submission.division=open."
        )
    if scenario not in asked:
        raise ConfigError(
            f"{edition} takes closed results of model={name} from submission.system_type="
            f"{own.system_type} in {', '.join(asked)}, not in scenario={scenario}: choose one of "
            "them, or submission.division=open."
        )


def must_meet_the_bound(config: Config) -> None:
    """Raise ConfigError for a Server bound that the suite's checker refuses, in open too."""
    least, asked = server_bound_ms(config.rules, config.model.name), config.scenario.bound_ms
    if config.scenario.name == "server" and asked and least and asked > least:
        raise ConfigError(
            f"scenario.bound_ms={asked:g} is above the {least:g} ms that {config.rules.name} "
            f"allows for model={config.model.name}, in the open division too: leave it out or "
            "lower it."
        )


def must_be_the_same_system(place: Place, found: Description) -> None:
    """Raise ConfigError where the tree has another system under this name."""
    file = place.description
    if not file.is_file():
        return
    try:
        there = json.loads(file.read_text())
        others = [name for name, value in found.items() if there.get(name) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{file} is no system description: {error}. Remove it.") from error
    if others:
        raise ConfigError(
            f"{file} describes another system (it differs in {', '.join(others)}): choose another "
            "submission.system_name, or set submission.system.FIELD as it is there."
        )
