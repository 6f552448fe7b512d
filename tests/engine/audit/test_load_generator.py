"""A load generator that is not the one that was built is found out."""

import base64
import hashlib
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from engine.audit.finding import Outcome
from engine.audit.load_generator import PACKAGES, load_generator

FILES = {"loadgen/__init__.py": "clock = 1\n", "engine/job.py": "run = 2\n"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installation as pip leaves it: files, and their hashes in RECORD. Nothing is loaded."""
    ours = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    info = tmp_path / "tailbound-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tailbound\nVersion: 1\n")
    lines = ["tailbound-1.dist-info/RECORD,,"]
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{name},sha256={digest.decode()},{len(text)}")
    (info / "RECORD").write_text("\n".join(lines))
    return tmp_path, metadata.PathDistribution(info)


def test_what_was_built_passes(installed):
    found = load_generator(installed[1])
    assert found.outcome is Outcome.PASS and "All 2 files" in found.sentence


def test_a_changed_file_is_caught_and_named(installed):
    folder, distribution = installed
    (folder / "loadgen/__init__.py").write_text("clock = 0.5\n")
    found = load_generator(distribution)
    assert found.outcome is Outcome.FAIL and "loadgen/__init__.py" in found.sentence


def test_a_missing_file_is_caught(installed):
    folder, distribution = installed
    (folder / "engine/job.py").unlink()
    assert load_generator(distribution).outcome is Outcome.FAIL


def test_an_added_module_is_caught(installed):
    folder, distribution = installed
    (folder / "loadgen/faster.py").write_text("")
    found = load_generator(distribution)
    assert found.outcome is Outcome.FAIL and "loadgen/faster.py" in found.sentence


def test_of_many_files_five_are_named(installed):
    folder, distribution = installed
    for number in range(7):
        (folder / f"loadgen/more{number}.py").write_text("")
    sentence = load_generator(distribution).sentence
    assert "more4.py and 2 more. Install" in sentence and "more5" not in sentence


def test_another_load_generator_in_front_of_the_installed_one_is_caught(installed, monkeypatch):
    folder, distribution = installed
    own = SimpleNamespace(__file__=str(folder / "loadgen/__init__.py"))
    monkeypatch.setitem(sys.modules, "loadgen", own)
    assert load_generator(distribution).outcome is Outcome.PASS
    other = SimpleNamespace(__file__="/elsewhere/loadgen/verdict.py")
    monkeypatch.setitem(sys.modules, "loadgen.verdict", other)
    found = load_generator(distribution)
    assert found.outcome is Outcome.FAIL and "/elsewhere/loadgen/verdict.py" in found.sentence


def test_a_working_tree_has_nothing_to_compare_with(installed):
    folder, distribution = installed
    (folder / "tailbound-1.dist-info/RECORD").write_text("tailbound-1.dist-info/RECORD,,")
    found = load_generator(distribution)
    assert found.outcome is Outcome.NOT_APPLICABLE and "pip install ." in found.sentence
