"""Every choice composes into a valid config; every mistake gets one clear message."""

import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from engine.config import Config, NullSut
from engine.errors import ConfigError
from engine.paths import conf_dir
from engine.validation import validate

GROUPS = (
    "model",
    "dataset",
    "scenario",
    "sut",
    "precision",
    "rules",
    "search",
    "power",
    "tracking",
)
CHOICES = [
    (group, file.stem) for group in GROUPS for file in sorted((conf_dir() / group).glob("*.yaml"))
]


def configured(*overrides: str) -> Config:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return validate(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=str)
def test_every_choice_composes(group, name):
    quoted = f"'{name}'" if name == "null" else name
    node = getattr(configured(f"{group}={quoted}"), group)
    assert getattr(node, "name", None) or node.kind == name


@pytest.mark.parametrize("file", sorted((conf_dir() / "experiment").glob("*.yaml")), ids=str)
def test_every_experiment_composes(file):
    assert configured(f"experiment={file.stem}").model.name


def test_the_combinations_of_the_main_groups_compose():
    models, scenarios = ("mobilenet", "resnet50"), ("single_stream", "server", "offline")
    for model, scenario, rules in itertools.product(models, scenarios, ("quick", "v0_5", "v4_0")):
        config = configured(f"model={model}", f"scenario={scenario}", f"rules={rules}")
        assert (config.model.name, config.scenario.name) == (model, scenario)


def test_a_model_brings_its_data_set_and_precision_and_the_user_overrides_them():
    assert configured("model=mobilenet").precision.name == "int8"
    assert configured("model=mobilenet", "precision=fp32").precision.name == "fp32"
    assert configured("model=resnet50").precision.name == "fp32"
    assert configured("dataset=imagenet").dataset.kind == "imagenet"


def test_a_scenario_brings_its_search():
    assert configured("scenario=server").search.kind == "max_qps"
    assert configured("scenario=server", "search=none").search.kind == "none"
    assert configured("scenario=offline").search.kind == "none"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sut.threads=0", ["sut.threads=0", "at least 1"]),
        ("sut.threads=many", ["sut.threads=many", "not allowed"]),
        ("+sut.theads=2", ["theads is not a key of sut", "Did you mean threads?"]),
        ("+model.preprocessing.sise=224", ["sise is not a key of model.preprocessing", "size"]),
        ("+sutt.threads=2", ["sutt is not a key of the config", "Did you mean sut?"]),
        ("mode=fast", ["mode=fast", "performance, accuracy, both"]),
        ("mode=null", ["mode=null is not allowed", "performance, accuracy"]),
        ("report=null", ["report=null is not allowed", "true or false"]),
        ("scenario.name=null", ["scenario.name=null is not allowed: set it to a value"]),
        ("sut.kind=null", ["sut.kind is missing: it must be one of onnxruntime"]),
        ("scenario.bound_ms=-1", ["scenario.bound_ms=-1", "more than 0"]),
        ("scenario.name=burst", ["scenario.name=burst", "one of single_stream"]),
        ("sut.kind=gpu", ["sut.kind=gpu", "onnxruntime, openvino, cupy, tensorrt, remote, null"]),
        ("precision.name=int3", ["precision.name=int3", "fp32, fp16, bf16, int8, int4"]),
        ("search.tolerance=2", ["search.tolerance=2", "at most 0.5"]),
        ("rules.seeds.qsl=-4", ["rules.seeds.qsl=-4", "at least 0"]),
        ("rules.server_bounds_ms.resnet50=soon", ["rules.server_bounds_ms", "soon"]),
        ("model.preprocessing.std=[1,0,1]", ["model.preprocessing.std[1]=0", "more than 0"]),
        ("model.name=???", ["model.name is missing"]),
        ("scenario.bound_ms=inf", ["scenario.bound_ms=inf", "finite"]),
        ("model.preprocessing.mean=[nan,1.0,1.0]", ["mean[0]=nan", "finite"]),
        ("model.preprocessing.mean=[1.0]", ["mean=[1.0]", "3 items"]),
        ("cache_dir=${nowhere}", ["cannot be resolved", "nowhere"]),
        ("cache_dir=[1]", ["cache_dir"]),
        ("power.kind=watts", ["power.kind=watts", "none, rapl, nvml"]),
        ("power.idle_s=-1", ["power.idle_s=-1", "at least 0"]),
        ("path=[1]", ["path=[1]", "a folder or null"]),
        ("submission.category=soon", ["submission.category=soon", "available, preview, rdi"]),
        ("+submission.system.coling=air", ["coling is not a key of submission.system", "cooling"]),
    ],
)
def test_a_mistake_is_named(override, words):
    with pytest.raises(ConfigError) as caught:
        configured(override)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_group_is_named():
    with pytest.raises(ConfigError, match="choose one with sut=NAME"):
        configured("~sut")


def test_the_null_system_has_its_own_keys():
    assert isinstance(configured("sut='null'", "sut.delay_us=5").sut, NullSut)
    with pytest.raises(ConfigError, match="threads is not a key of sut"):
        configured("sut='null'", "+sut.threads=1")


def test_every_yaml_says_what_it_is():
    for file in conf_dir().rglob("*.yaml"):
        first = file.read_text().splitlines()[0]
        assert first.startswith("#"), file


def test_a_users_own_folder_adds_models(tmp_path: Path):

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        "defaults:\n  - onnx\n  - _self_\nname: mine\npath: mine.onnx\n"
    )
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose(
            "config", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "model=mine"]
        )
    assert validate(composed).model.name == "mine"
