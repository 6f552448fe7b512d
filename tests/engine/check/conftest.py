"""A good tree to damage."""

import shutil

import pytest


@pytest.fixture
def tree(good_trees, tmp_path):
    """``tree("open")``: a copy of the good tree that a test may damage, and its division."""

    def copy(division="open"):
        shutil.copytree(good_trees[division], tmp_path / "tree")
        return tmp_path / "tree", tmp_path / "tree" / division

    return copy
