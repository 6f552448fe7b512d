"""A good tree to damage."""

import shutil

import pytest


@pytest.fixture
def tree(good_trees, tmp_path):
    """``tree("open")``: a copy of a good tree that a test may damage, and its division."""

    def copy(name="open"):
        shutil.copytree(good_trees[name], tmp_path / "tree")
        return tmp_path / "tree", next((tmp_path / "tree").iterdir())

    return copy
