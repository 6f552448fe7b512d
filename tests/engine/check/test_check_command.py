"""``mode=check`` from the command line."""

from pathlib import Path

import pytest


def test_the_command_says_so_and_ends_with_2(engine, good_trees, tree):
    good = engine("mode=check", f"path={good_trees['open']}")
    assert (good.code, good.err) == (0, "")
    assert good.out == f"2 results, 0 findings: {good_trees['open']}\n"
    root, division = tree()
    (division / "Us/results/box/resnet50/Offline/user.conf").unlink()
    bad = engine("mode=check", f"path={root}")
    assert bad.code == 2
    assert "user.conf: is missing" in bad.out


@pytest.mark.parametrize(
    ("path", "words"), [("null", "set path=DIR"), ("nowhere", "is no folder"), (".", "no results")]
)
def test_a_check_of_nothing_is_refused(engine, path, words):
    ended = engine("mode=check", f"path={path}", "hydra.run.dir=made/here")
    assert ended.code == 3
    assert words in ended.err
    assert not Path("made").exists()
