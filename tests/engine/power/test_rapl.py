"""RAPL from a tree of files as the kernel shows it."""

import os
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.power.rapl import Rapl

ZONES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:0:2": "uncore",
    "intel-rapl:1": "package-1",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "intel-rapl").mkdir()  # the control type, no zone
    for number, (zone, name) in enumerate(ZONES.items()):
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{number}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
    return tmp_path


def test_packages_and_their_memory_are_counted_once(tree):
    rapl = Rapl(tree)
    assert rapl.parts == ("package-0", "package-0 dram", "package-1")
    assert rapl.read_uj().tolist() == [0, 2, 4]
    assert rapl.wraps_uj.tolist() == [262143328850] * 3


def test_without_zones_it_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no processor package.*power=none"):
        Rapl(tmp_path / "nowhere")


def test_a_counter_that_only_root_may_read(tree, monkeypatch):
    read = Path.read_text

    def refused(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(ConfigError, match=r"only root.*chmod a\+r"):
        Rapl(tree)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_without_the_right_to_read(tree):
    (tree / "intel-rapl:0" / "energy_uj").chmod(0)
    with pytest.raises(ConfigError, match="only root"):
        Rapl(tree)


def test_a_zone_without_its_counter(tree):
    (tree / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(ConfigError, match="intel-rapl:1/energy_uj cannot be read"):
        Rapl(tree)
