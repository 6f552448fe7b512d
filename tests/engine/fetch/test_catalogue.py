from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from engine.errors import ConfigError
from engine.fetch.catalogue import Member, find, is_plain, load, names, target
from engine.paths import FETCHED, conf_dir

SHIPPED = conf_dir() / "fetch"


@pytest.mark.parametrize("name", names(SHIPPED))
def test_every_shipped_entry_is_valid(name: str) -> None:
    entry = find(name, SHIPPED)
    assert entry.name == name
    if name != "sentences":  # which nothing here can use yet
        assert entry.next, "a user must be told how to go on"
    assert entry.source.size_bytes <= 2 * entry.max_unpacked_bytes
    assert bool(entry.source.sha256) == bool(entry.sums_sha256) == bool(entry.source.size_bytes)


@pytest.mark.parametrize("name", ["squeezenet", "mobilenet", "resnet50", "ssd_mobilenet"])
def test_the_experiments_name_what_the_catalogue_holds(name: str) -> None:
    experiment = OmegaConf.load(conf_dir() / "experiment" / f"{name}_photos.yaml")
    network = experiment.model.path if name == "squeezenet" else experiment.model.weights
    for path in (network, experiment.dataset.path):
        name, _, file = path.removeprefix(FETCHED).partition("/")
        entry = find(name, SHIPPED)
        outputs = {found[0] for m in entry.members if m.name and (found := target(m, m.name))}
        assert not file or file in outputs
        assert any(Path(file or ".") == Path(value) for value in entry.next_paths.values())


def test_an_unknown_name_gets_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean photos\? Known: .*squeezenet"):
        find("foto", SHIPPED)
    with pytest.raises(ConfigError, match=r"can be fetched\. Known"):
        find("zzzzzzzz", SHIPPED)


@pytest.mark.parametrize("name", ["../photos", "photos.yaml", "", "/etc/passwd"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="Nothing called"):
        find(name, SHIPPED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"source": {"md5": "x"}}, "md5"),
        ({"source": {"kind": "ftp"}}, "it must be one of pypi"),
        ({"source": {"size_bytes": 0}}, "needs package, version and size_bytes"),
        ({"source": {"size_bytes": "much"}}, "much"),
        ({"source": {"sha256": "A" * 64}}, "source.sha256 must be 64"),
        ({"source": {"file": "../a.whl"}}, "plain file name"),
        ({"sums_sha256": "12"}, "sums_sha256 must be 64"),
        ({"name": "other"}, "must be the file's own name"),
        ({"licence": []}, "licence must say"),
        ({"members": []}, "at least one file"),
        ({"members": [{}]}, "either a name or a pattern"),
        ({"members": [{"name": "a", "pattern": "b"}]}, "either a name or a pattern"),
        ({"members": [{"pattern": "("}]}, "not a regular expression"),
        ({"members": [{"pattern": "a", "to": "b"}]}, "'to' goes with"),
        ({"members": [{"name": "a", "to": "../b"}]}, "plain file name"),
        ({"label_map": "a/b"}, "plain file name"),
    ],
)
def test_a_bad_entry_is_refused_by_name(changes: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photos.yaml"
    good = OmegaConf.load(SHIPPED / "photos.yaml")
    OmegaConf.save(good, path)
    load(path)
    plain = OmegaConf.to_container(good)
    source = plain["source"] | changes.pop("source", {})
    OmegaConf.save(OmegaConf.create(plain | {"source": source} | changes), path)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_missing_key_and_broken_yaml_are_named(tmp_path: Path) -> None:
    path = tmp_path / "photos.yaml"
    path.write_text("name: photos\n")
    with pytest.raises(ConfigError, match="missing mandatory value: description"):
        load(path)
    path.write_text("name: [photos\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


@given(st.text(max_size=12))
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    if is_plain(name):
        assert (Path("/folder") / name).parent == Path("/folder")
        assert not set(name) & set("/\\\0\n") and not name.startswith(".")


@pytest.mark.parametrize(
    ("kind", "url", "message"),
    [
        ("url", "http://host/net.onnx", "must be an https address"),
        ("pypi", "", "64 lower-case hexadecimal digits"),
    ],
)
def test_only_an_https_address_may_go_unpinned(
    tmp_path: Path, kind: str, url: str, message: str
) -> None:
    entry = OmegaConf.load(SHIPPED / "suite_resnet50.yaml")
    entry.source.update({"kind": kind, "url": url})
    OmegaConf.save(entry, tmp_path / "suite_resnet50.yaml")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "suite_resnet50.yaml")


def test_what_a_member_becomes() -> None:
    assert target(Member(name="a/b.onnx"), "a/b.onnx") == ("b.onnx", None)
    assert target(Member(name="a/b.onnx", to="c.onnx"), "a/b.onnx") == ("c.onnx", None)
    assert target(Member(name="a/b.onnx"), "x/a/b.onnx") is None
    labelled = Member(pattern=r"a/(?P<label>\d+)\.jpg")
    assert target(labelled, "a/12.jpg") == ("12.jpg", "12")
    assert target(labelled, "a/12.jpg.exe") is None
