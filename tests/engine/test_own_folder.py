"""Flags, and a folder of the user's own: its files are chosen like ours, its mistakes named."""

import onnx
import pytest

from engine.arguments import hydra_arguments


@pytest.fixture
def own_file(tmp_path):
    """``own_file(name, text)`` writes a file of the user's own folder."""

    def write(name, text):
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def test_help_shows_the_users_own_choices_and_what_overrides_make_of_it(engine, own_file):
    own_file("model/mine.yaml", "name: mine")
    ended = engine("--help", "--config-dir", "own", "sut=null", quickly=())
    assert ended.code == 0
    assert ", mine, " in ended.out
    assert "kind: 'null'" in ended.out
    refused = engine("--help", "--config-dir", "nowhere", quickly=())
    assert (refused.code, refused.out) == (3, "")
    assert "nowhere' not found" in refused.err


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["a=1", "--config-dir", "own", "b=2", "-m"], ["--config-dir=own", "-m", "a=1", "b=2"]),
        (["a=1", "-cd=own"], ["-cd=own", "a=1"]),
        (["--info", "a=1"], ["--info=all", "a=1"]),
        (["a=1", "-i", "defaults", "b=2"], ["-i=defaults", "a=1", "b=2"]),
        (["sut=null,onnxruntime"], ["sut='null',onnxruntime"]),
    ],
)
def test_flags_may_stand_anywhere(typed, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hydra_arguments(typed) == wanted


def test_a_folder_of_ones_own_may_be_named_between_overrides(engine, own_file):
    own_file("scenario/mine.yaml", "defaults: [offline, _self_]")
    ended = engine("sut=null", "--config-dir", "own", "scenario=mine")
    assert ended.code == 0, ended.err


NETWORK = """
<ir_version: 8, opset_import: ["": 17]>
mine (float[n, 3, 64, 64] x) => (float[n, 3] y) { p = GlobalAveragePool(x) y = Flatten(p) }
"""
MINE = """
defaults: [onnx, _self_]
name: mine
path: net.onnx
preprocessing: {size: 64, resize: 64}
"""


def test_a_model_of_ones_own_runs_from_a_short_file(engine, own_file, tmp_path):
    onnx.save(onnx.parser.parse_model(NETWORK), tmp_path / "net.onnx")
    own_file("model/mine.yaml", MINE)
    ended = engine("model=mine", "scenario=offline", "--config-dir", "own")
    assert ended.code == 0, ended.err
    assert "mine · offline · onnxruntime · fp32" in ended.out
    assert ended.record["dataset"]["name"] == "synthetic"


BEGIN = "begin the model's file with `defaults: [onnx, _self_]`"
BARE = "kind: onnx\nname: bare\npath: net.onnx\n"


@pytest.mark.parametrize(
    ("name", "text", "arguments", "words"),
    [
        ("model/m", "a: b: c\n", ["model=m"], ["own/model/m.yaml, line 1: mapping values"]),
        ("model/m", "\nname: [x\n", ["model=m", "--help"], ["own/model/m.yaml, line 3", "YAML"]),
        ("model/m", "5\n", ["model=m"], ["own/model/m.yaml: Invalid", "lines KEY: VALUE"]),
        ("model/m", b"\xff\xfe", ["model=m"], ["own/model/m.yaml: 'utf-8' codec"]),
        ("model/m", "- name\n", ["model=m"], ["own/model/m.yaml holds a list"]),
        ("scenario/s", "", ["scenario=s"], ["scenario=s has no name", "to own/scenario/s.yaml"]),
        ("scenario/s", "issue: same\n", ["scenario=s"], ["scenario=s has no name", "_self_"]),
        ("model/m", BARE, ["model=m"], [f"brings no dataset: {BEGIN}"]),
        ("model/m", BARE, ["model=m", "dataset=synthetic"], [f"brings no dataset: {BEGIN}"]),
        ("model/m", BARE, ["model=m", "dataset.count=8"], [f"brings no dataset: {BEGIN}"]),
        ("model/m", BARE, ["-m", "model=m"], [f"brings no precision: {BEGIN}"]),
        ("scenario/s", "name: offline\n", ["scenario=s"], ["brings no search", "[server, _self_]"]),
        ("dataset/d", "name: d\n", ["dataset=d", "dataset.count=8"], ["use +dataset.count=8"]),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_named(engine, own_file, name, text, arguments, words):
    own_file(f"{name}.yaml", text)
    ended = engine("sut=null", *arguments, "--config-dir=own", quickly=("tracking=none",))
    assert ended.code == 3
    for word in words:
        assert word in ended.err
    assert len(ended.err.splitlines()) == 1
