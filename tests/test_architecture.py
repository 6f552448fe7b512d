"""The house stays as it was drawn: imports point one way, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "evaluators", "loadgen", "multirun", "sut")
ALLOWED = {
    "engine": {"evaluators", "loadgen", "multirun", "sut"},
    "evaluators": set(),
    "loadgen": set(),
    "multirun": {"loadgen"},
    "sut": {"loadgen"},
}
MODULES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py*"))]
MODULES = [file for file in MODULES if file.suffix in (".py", ".pyx", ".pxd")]


def imported(file: Path) -> set[str]:
    """Top-level names a module imports; Cython is read by its import lines."""
    if file.suffix == ".py":
        tree = ast.walk(ast.parse(file.read_text()))
        nodes = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
        names = [
            name
            for node in nodes
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
        ]
    else:
        lines = [line.split() for line in file.read_text().splitlines()]
        names = [words[1] for words in lines if words[:1] in (["import"], ["from"], ["cimport"])]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file):
    package = file.relative_to(ROOT).parts[0]
    foreign = imported(file) & (set(PACKAGES) - {package})
    # A bench is a program of its own, which may need a system or a network to measure with.
    assert foreign <= ALLOWED[package] | ({"sut", "engine"} if "bench" in file.parts else set())
    if package != "engine":
        assert not imported(file) & {"hydra", "omegaconf", "mlflow"}


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_stay_small(file):
    assert len(file.read_text().splitlines()) <= 400


def test_every_package_is_shipped():
    import tomllib

    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        str(init.parent.relative_to(ROOT)).replace("/", ".")
        for package in PACKAGES
        for init in (ROOT / package).rglob("__init__.py")
    }
    assert found <= set(shipped)


def test_make_clean_removes_what_was_compiled_and_nothing_else(tmp_path):
    built = ["loadgen/_tape.cpp", "loadgen/_tape.so", "sut/_fleet.cpp", "sut/_fleet.so"]
    written = ["loadgen/_tape.pyx", "sut/_fleet.pyx"]
    for name in (*built, *written, "build/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True)
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert sorted(str(file.relative_to(tmp_path)) for file in left) == written


def test_the_architecture_test_sees_an_import():
    assert "ast" in imported(Path(__file__))
    assert sys.modules["ast"] is ast
