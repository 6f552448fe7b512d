"""Token latencies from the configuration to the record, on systems without a network."""

import json

import pytest

TOKENS = (
    "scenario=server",
    "scenario.use_token_latencies=true",
    "scenario.ttft_bound_ms=200",
    "scenario.tpot_bound_ms=20",
)
SPEAKING = (
    *TOKENS,
    "sut=simulated",
    "sut.answer_tokens=[16,32,64]",
    "sut.batch=[1,16]",
    "sut.service_ms=[5,40]",
    "sut.token_ms=[2,8]",
    "sut.max_batch=16",
    "sut.workers=4",
    "scenario.min_duration_s=20",
)


def rows_of(record):
    return {row["name"]: row for row in record["performance"]["constraints"]}


@pytest.mark.parametrize(
    ("bounds", "limit"),
    [
        ((), "ttft"),
        (("scenario.ttft_bound_ms=5000", "scenario.tpot_bound_ms=4"), "tpot"),
    ],
)
def test_the_peak_inside_both_bounds_is_found(bounds, limit, engine):
    ended = engine(*SPEAKING, *bounds)
    record = ended.record
    assert ended.code == 0
    best, ceiling = record["search"]["best_qps"], record["search"]["ceiling_qps"]
    assert 0.2 * ceiling < best < ceiling
    assert {"p99_ttft", "early_stopping_ttft", "p99_tpot", "early_stopping_tpot"} <= set(
        rows_of(record)
    )
    # The one that limits is near its bound where the rate was too high.
    failed = [p for p in record["search"]["probes"] if p["late"] > 0.02 * p["query_count"]]
    assert all(probe["judged"] == limit for probe in failed)
    # A fifth more than the confirmed rate misses that bound, and no other.
    beyond = engine(
        *SPEAKING,
        *bounds,
        "search=none",
        f"scenario.target_qps={1.4 * best}",
        "hydra.run.dir=beyond",
    )
    assert beyond.code == 2
    found = json.loads((beyond.folder / "beyond/result.json").read_text())
    assert not rows_of(found)[f"p99_{limit}"]["passed"]


def test_all_that_is_made_of_the_record_shows_them(engine):
    ended = engine(
        *SPEAKING, "search=none", "scenario.target_qps=50", "report=true", "tracking=none"
    )
    tokens = ended.record["performance"]["statistics"]["tokens"]
    assert tokens["count"] > 0
    (markdown,) = ended.folder.glob("runs/**/*.md")
    (page,) = ended.folder.glob("runs/**/*.html")
    for text in (ended.out, markdown.read_text(), page.read_text()):
        assert "time to first token (ms)" in text
        assert f"p99 {tokens['tpot_ms']['p99']:.3f}" in text
        assert "tokens/s" in text
    from engine.tracking import metrics_of

    metrics = metrics_of(ended.record)
    assert metrics["ttft_p99_ms"] == tokens["ttft_ms"]["p99"]
    assert metrics["tpot_p99_ms"] == tokens["tpot_ms"]["p99"]
    assert metrics["tokens_per_s"] == tokens["per_s"]


def test_a_bound_that_even_an_idle_system_misses_is_said_at_once(engine):
    ended = engine(*SPEAKING, "scenario.tpot_bound_ms=1.5")
    assert ended.code == 2
    assert "each further token on the idle system takes 2.0 ms, the bound is 1.5 ms" in ended.out
    assert list(rows_of(ended.record)) == ["unloaded_tpot"]


def test_the_null_system_gives_tokens_in_real_time(engine):
    ended = engine(
        *TOKENS, "sut=null", "sut.answer_tokens=[2]", "search=none", "scenario.target_qps=2000"
    )
    assert rows_of(ended.record)["tokens"]["passed"]
    assert "p99_ttft" in rows_of(ended.record)


def test_offline_tokens_are_counted(engine):
    speaking = [text for text in SPEAKING if "bound" not in text and text != "scenario=server"]
    ended = engine(*speaking, "scenario=offline", "scenario.target_qps=100")
    assert ended.record["performance"]["statistics"]["tokens"]["per_s"] > 0
    assert "tokens/s" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*TOKENS, "sut=onnxruntime"), "sut=onnxruntime gives no tokens"),
        ((*TOKENS, "sut=null"), "sut.answer_tokens=["),
        (("sut=simulated", "scenario.ttft_bound_ms=5"), "only a server run with"),
        ((*SPEAKING, "scenario.tpot_bound_ms=null"), "needs tpot_bound_ms"),
        ((*SPEAKING, "mode=plan"), "mode=performance"),
        ((*SPEAKING, "sut.answer_tokens=[1]"), "sut.answer_tokens"),
        ((*SPEAKING, "sut.token_ms=[1]"), "one time for each of its batch sizes"),
    ],
)
def test_what_contradicts_is_refused(arguments, words, engine):
    ended = engine(*arguments)
    assert ended.code == 3
    assert words in ended.err
