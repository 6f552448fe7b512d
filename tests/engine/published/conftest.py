"""A copy of the sample of round v0.5, and a repository made of runs of our own."""

import shutil
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "data" / "published"


@pytest.fixture
def repository(tmp_path):
    """A copy of the sample that a test may damage."""
    shutil.copytree(SAMPLE, tmp_path / "round")
    return tmp_path / "round"
