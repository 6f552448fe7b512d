"""What a machine tells of itself, read from a description of hardware made up for the test."""

import subprocess

import pytest

from engine.submission import machine as module
from engine.submission.machine import accelerators, machine


@pytest.fixture
def hardware(tmp_path):
    """Two processors with two caches, an NVMe disk and a network card."""
    content = {
        "devices/system/cpu/cpu0/topology/physical_package_id": "0",
        "devices/system/cpu/cpu1/topology/physical_package_id": "1",
        "devices/system/cpu/cpu0/cache/index0/level": "1",
        "devices/system/cpu/cpu0/cache/index0/type": "Data",
        "devices/system/cpu/cpu0/cache/index0/size": "32K",
        "devices/system/cpu/cpu0/cache/index1/level": "2",
        "devices/system/cpu/cpu0/cache/index1/type": "Unified",
        "devices/system/cpu/cpu0/cache/index1/size": "1024K",
        "block/nvme0n1/device/model": "disk",
        "block/loop0/size": "0",
        "class/net/eth0/device/vendor": "0",
        "class/net/lo/mtu": "65536",
    }
    for name, text in content.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return tmp_path


def test_processor_caches_disks_and_cards_are_read(hardware):
    found = machine(hardware)
    assert found["host_processors_per_node"] == "2"
    assert found["host_processor_caches"] == "L1d 32K, L2 1024K"
    assert found["host_storage_type"] == "NVMe SSD"
    assert found["host_network_card_count"] == "1"
    assert found["other_software_stack"].startswith("Python 3.")
    assert all(found.values())


def test_what_the_kernel_does_not_tell_is_left_out(tmp_path):
    found = machine(tmp_path)
    assert "host_processor_caches" not in found
    assert "host_storage_type" not in found


def test_a_virtual_disk_is_of_no_known_kind(hardware):
    (hardware / "block/vda/device").mkdir(parents=True)
    assert "host_storage_type" not in machine(hardware)


def test_a_system_without_accelerators_says_so():
    found = accelerators([])
    assert found["accelerators_per_node"] == "0"
    assert found["accelerator_model_name"] == "N/A"


def test_gpus_are_what_their_driver_says(monkeypatch):
    said = "NVIDIA H200, 143771 MiB, 1980 MHz, 5\nNVIDIA H200, 143771 MiB, 1980 MHz, [N/A]\n"
    asked = []

    def run(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=said)

    monkeypatch.setattr(module.subprocess, "run", run)
    found = accelerators([0, 3])
    assert "--id=0,3" in asked[0]
    assert found == {
        "accelerators_per_node": "2",
        "accelerator_model_name": "NVIDIA H200",
        "accelerator_memory_capacity": "143771 MiB",
        "accelerator_frequency": "1980 MHz",
    }


def test_without_a_driver_only_their_number_is_known(monkeypatch):
    def run(command, **options):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(module.subprocess, "run", run)
    assert accelerators([0]) == {"accelerators_per_node": "1"}
