from __future__ import annotations

from pathlib import Path

import pytest

from engine import paths
from engine.errors import ConfigError
from engine.paths import cache_dir, conf_dir, fetched_dir, resolve


def test_conf_lies_beside_or_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (conf_dir() / "fetch").is_dir()
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "engine" / "paths.py"))
    with pytest.raises(ConfigError, match="install tailbound again"):
        conf_dir()
    (tmp_path / "conf").mkdir()
    assert conf_dir() == tmp_path / "conf"
    (tmp_path / "engine" / "conf").mkdir(parents=True)
    assert conf_dir() == tmp_path / "engine" / "conf"


def test_the_cache_is_as_configured_then_the_environments_then_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir().name == "tailbound" and tmp_path in cache_dir().parents
    monkeypatch.setenv("TAILBOUND_CACHE", str(tmp_path / "env"))
    assert cache_dir() == cache_dir(None) == tmp_path / "env"
    assert cache_dir(str(tmp_path / "own")) == tmp_path / "own"
    assert cache_dir("~/own") == tmp_path / "home" / "own"


def test_resolves_what_was_fetched_completely(tmp_path: Path) -> None:
    folder = fetched_dir("photos", tmp_path)
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    with pytest.raises(ConfigError, match=r"python -m engine\.fetch photos --dir"):
        resolve("fetched:photos", tmp_path)
    (folder / "photos.sha256").touch()
    assert resolve("fetched:photos", tmp_path) == folder
    assert resolve("fetched:photos/a.jpg", tmp_path) == folder / "a.jpg"
    with pytest.raises(ConfigError, match="is missing or incomplete"):
        resolve("fetched:photos/b.jpg", tmp_path)


def test_the_command_is_plain_when_the_cache_is_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILBOUND_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"python -m engine\.fetch photos$"):
        resolve("fetched:photos", cache_dir())


@pytest.mark.parametrize(
    "path",
    ["fetched:", "fetched:.", "fetched:/etc", "fetched:../x", "fetched:a/../../x", "fetched:a\\b"],
)
def test_a_fetched_path_does_not_leave_the_cache(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NAME or NAME/FILE"):
        resolve(path, tmp_path)


def test_other_paths_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("/data/model.onnx", tmp_path) == Path("/data/model.onnx")
    assert resolve("~/model.onnx", tmp_path) == tmp_path / "model.onnx"
    assert resolve("model.onnx", tmp_path) == Path("model.onnx")
