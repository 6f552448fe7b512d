"""Group ``submission``: who submits what, and what a machine cannot tell of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.fields import limited

DIVISIONS = ("open", "closed")
CATEGORIES = ("available", "preview", "rdi")
SYSTEM_TYPES = ("datacenter", "edge", "datacenter,edge")


@dataclass(frozen=True)
class SystemFields:
    """Fields of a system description; null: as found on the machine, or else asked for."""

    number_of_nodes: str | None = None
    host_processor_model_name: str | None = None
    host_processors_per_node: str | None = None
    host_processor_core_count: str | None = None
    host_processor_frequency: str | None = None
    host_processor_caches: str | None = None
    host_processor_interconnect: str | None = None
    host_memory_capacity: str | None = None
    host_memory_configuration: str | None = None
    host_storage_type: str | None = None
    host_storage_capacity: str | None = None
    host_networking: str | None = None
    host_networking_topology: str | None = None
    host_network_card_count: str | None = None
    accelerators_per_node: str | None = None
    accelerator_model_name: str | None = None
    accelerator_frequency: str | None = None
    accelerator_host_interconnect: str | None = None
    accelerator_interconnect: str | None = None
    accelerator_interconnect_topology: str | None = None
    accelerator_memory_capacity: str | None = None
    accelerator_memory_configuration: str | None = None
    accelerator_on_chip_memories: str | None = None
    cooling: str | None = None
    framework: str | None = None
    operating_system: str | None = None
    other_software_stack: str | None = None
    hw_notes: str | None = None
    sw_notes: str | None = None
    system_type_detail: str | None = None


@dataclass(frozen=True)
class Submission:
    """Group ``submission``: what ``mode=submit`` makes of a benchmark.

    ``path``: the tree, to which each benchmark adds its part. ``submitter`` and ``system_name``
    become names of folders in it. The round is that of the rules.
    """

    path: str = limited("submission")
    submitter: str | None = None
    division: str = limited("open", choices=DIVISIONS)
    category: str | None = limited(None, choices=CATEGORIES)
    system_name: str | None = None
    system_type: str | None = limited(None, choices=SYSTEM_TYPES)
    system: SystemFields = field(default_factory=SystemFields)
