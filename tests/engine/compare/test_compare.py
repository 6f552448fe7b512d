"""Results side by side: the same system does not differ, another does, and apples stay apples."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from engine.compare.command import main
from engine.compare.difference import difference
from engine.compare.side import Figure

SIMULATED = (
    "model=resnet50",
    "sut=simulated",
    "sut.spread=0.3",
    "tracking=none",
    "report=false",
    "scenario.min_duration_s=5",
)


@pytest.fixture
def result(engine, tmp_path):
    """``result("a", *overrides)`` leaves a simulated run in the folder a and returns its path."""

    def make(name, *overrides, base=("scenario=single_stream", *SIMULATED)):
        ended = engine(*base, f"hydra.run.dir={tmp_path / name}", *overrides, quickly=())
        assert ended.code in (0, 2), ended.err
        return str(tmp_path / name)

    return make


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "a"


@pytest.fixture
def result_a(result, kept, tmp_path):
    """The path of a simulated run that is made once."""
    if kept.exists():
        shutil.copytree(kept, tmp_path / "a")
    else:
        shutil.copytree(result("a"), kept)
    return str(tmp_path / "a")


@pytest.fixture
def compare(capsys):
    def run(*arguments):
        capsys.readouterr()
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_two_runs_of_one_system_do_not_differ_significantly(result, result_a, compare):
    code, out, _ = compare(result_a, result("b", "sut.seed=2"))
    assert code == 0
    (line,) = [line for line in out.splitlines() if "p90_latency" in line and "/b " in line]
    assert "not significant (p=" in line
    assert "single_stream_p90_latency_ms" in out and "baseline" in out


def test_a_slower_system_is_worse_and_says_how_sure_that_is(result, result_a, compare, tmp_path):
    table = tmp_path / "table.csv"
    slow = result("b", "sut.service_ms=[1.2]")
    code, _, _ = compare(result_a, slow, "--csv", str(table))
    assert code == 0
    with table.open(newline="") as file:
        rows = {(row["figure"], row["result"].split(" ")[0]): row for row in csv.DictReader(file)}
    row = rows["single_stream_p90_latency_ms", slow]
    assert float(row["ratio"]) == pytest.approx(1.2, rel=0.05)
    assert float(row["p"]) < 0.001 and "worse" in row["against_baseline"]


def edited(folder, name, edit):
    """A copy of the result in ``folder`` under another name, whose record ``edit`` has changed."""
    copy = Path(folder).with_name(name)
    shutil.copytree(folder, copy)
    record = json.loads((copy / "result.json").read_text())
    edit(record)
    (copy / "result.json").write_text(json.dumps(record))
    return str(copy)


def test_what_is_not_comparable_is_refused_with_the_reason(result, result_a, compare):
    first, second = result_a, result("b", "rules=v4_0", "model=mobilenet", "dataset.count=7")
    code, out, err = compare(first, second)
    assert (code, out) == (3, "")
    assert "not comparable" in err
    code, out, _ = compare(first, second, "--force")
    assert code == 0
    for words in ("model: ", "rules: ", "data: "):
        assert words in err and f"Not comparable: {words}" in out


@pytest.mark.parametrize(
    ("setting", "other", "words"),
    [
        ("min_duration_ms", 7000, "minimum duration: "),
        ("percentile", 97, "percentile: "),
        ("bound_ms", 3, "latency bound: "),
        ("min_query_count", 3, "minimum queries: "),
        ("arrivals", "constant", "arrivals: "),
    ],
)
def test_a_run_of_other_settings_is_not_comparable(result_a, compare, setting, other, words):
    edit = {setting: other}
    second = edited(result_a, setting, lambda r: r["performance"]["settings"].update(edit))
    code, _, err = compare(result_a, second)
    assert code == 3 and words in err
    assert err.count(": ") == 3 and "; " not in err  # one reason


@pytest.mark.parametrize(
    ("count", "says"), [(20, "not significant (p="), (20_000, "worse (p="), (None, "not known")]
)
def test_top_1_is_as_sure_as_its_samples_are_many(result_a, compare, count, says):
    def scored(percent):
        quality = {"metric": "top1_percent", "value": percent, "unit": "%", "count": count}
        return lambda record: record.update(accuracy={"quality": quality})

    best = edited(result_a, f"all{count}", scored(100.0))
    other = edited(result_a, f"most{count}", scored(95.0))
    _, out, _ = compare(best, other)
    (line,) = [each for each in out.splitlines() if each.startswith("quality") and other in each]
    assert "-5.0 %" in line and says in line


def test_offline_rates_have_an_uncertainty_from_the_run_itself(result, compare):
    base = ("scenario=offline", *SIMULATED, "scenario.min_duration_s=2", "sut.seed=3")
    first = result("a", base=base)
    second = result("b", "sut.seed=4", base=base)
    _, out, _ = compare(first, second)
    (line,) = [line for line in out.splitlines() if "offline_samples" in line and "/b " in line]
    assert "±" in line and "not significant" in line


def test_without_the_arrays_the_significance_is_not_known(result, compare, tmp_path):
    base = ("scenario=offline", *SIMULATED, "scenario.min_duration_s=2")
    first = result("a", base=base)
    second = edited(first, "b", lambda record: record["performance"]["metric"].update(value=500.0))
    (tmp_path / "b" / "run_log.npz").unlink()
    _, out, _ = compare(first, second)
    assert "significance not known" in out


def test_peaks_are_compared_by_their_intervals(result, compare):
    base = (*SIMULATED, "scenario=server", "scenario.bound_ms=100")
    first = result("a", "sut.service_ms=[10]", base=base)
    _, out, _ = compare(first, result("b", "sut.service_ms=[20]", base=base))
    (line,) = [line for line in out.splitlines() if "server_qps" in line and "/b " in line]
    assert "worse" in line


def test_an_invalid_result_is_called_one(result, compare):
    base = (*SIMULATED, "scenario=server", "search=none", "scenario.target_qps=990")
    first = result("a", base=base)
    second = edited(first, "b", lambda record: None)
    assert "is INVALID: its figures are no result" in compare(first, second)[1]


def test_runs_in_mlflow_are_compared_by_their_ids(result, compare, store):
    import mlflow

    tracked = ("tracking=mlflow", f"tracking.uri={store}")
    first, second = result("a", *tracked), result("b", *tracked)
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("resnet50/single_stream")
    ids = [run.info.run_id for run in client.search_runs([experiment.experiment_id])]
    assert len(ids) == 2
    code, out, err = compare(*ids, "--mlflow", store)
    assert code == 0, err
    assert "the same" in out
    shutil.rmtree(first)
    assert compare("0" * 32, second, "--mlflow", store)[0] == 3


def test_a_published_result_stands_beside_one_of_this_machine(result, compare, store):
    import mlflow

    from engine.published.command import main as published

    sample = Path(__file__).parents[2] / "data" / "published"
    assert published([str(sample), "--mlflow", store]) == 0
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("mobilenet/single_stream")
    (run,) = client.search_runs([experiment.experiment_id])
    own = result("a", "model=mobilenet")
    code, _, err = compare(run.info.run_id, own, "--mlflow", store)
    assert code == 3 and "rules: " in err
    code, out, _ = compare(run.info.run_id, own, "--mlflow", store, "--force")
    assert code == 0
    assert "Qualcomm SDM855" in out and "significance not known" in out


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"config": 1}', "[" * 100_000, '{"config": {"mode": 1}}']
)
def test_what_is_no_result_is_one_message(compare, tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    code, _, err = compare(str(path), str(path))
    assert code == 3
    assert err.startswith("error: ") and err.count("\n") == 1


def test_an_accuracy_run_alone_has_nothing_to_compare(result_a, compare):
    alone = edited(result_a, "b", lambda record: record.update(performance=None))
    assert "no performance run to compare" in compare(alone, alone)[2]


@pytest.mark.parametrize("arguments", [[], ["one"], ["nowhere", "neither"], ["--flag"]])
def test_wrong_arguments_are_one_message(compare, arguments):
    code, _, err = compare(*arguments)
    assert code == 3
    assert err.startswith("error: ") and err.count("\n") == 1


def test_the_test_is_two_sided_and_calibrated():
    """A distance of 1.96 standard errors has a chance of 5 %."""
    one = Figure(100.0, "ms", False, 3.0)
    other = Figure(100 + 1.959964 * 5, "ms", False, 4.0)
    assert difference(other, one).p == pytest.approx(0.05, abs=1e-6)
    assert difference(one, other).p == pytest.approx(0.05, abs=1e-6)
    assert difference(one, Figure(1.0, "queries/s", True)) is None
    assert difference(one, Figure(0.0, "ms", False)) is None
