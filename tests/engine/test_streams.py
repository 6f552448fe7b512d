"""Multi-stream at fixed intervals: the number of streams is what is measured."""

SIMULATED = [
    "model=resnet50",
    "scenario=multi_stream",
    "scenario.interval_ms=50",
    "scenario.min_duration_s=30",
    "sut=simulated",
    "sut.batch=[1,8]",
    "sut.service_ms=[2,9]",
    "sut.max_batch=8",
]


def test_the_largest_number_of_streams_is_confirmed(engine):
    done = engine(*SIMULATED)
    assert done.code == 0
    assert "peak 44 streams" in done.out  # five batches of 8 at 9 ms, and 4 of them at 5 ms
    record = done.record
    assert record["search"]["best_streams"] == 44
    assert record["performance"]["settings"]["samples_per_query"] == 44
    assert record["performance"]["metric"]["value"] == 44
    kinds = [probe["kind"] for probe in record["search"]["probes"]]
    assert kinds[-1] == "confirm"


def test_a_number_that_the_user_gives_is_measured_alone(engine):
    done = engine(*SIMULATED, "scenario.samples_per_query=40")
    assert done.code == 0
    record = done.record
    assert record["search"] is None
    assert record["performance"]["metric"]["value"] == 40


def test_an_interval_shorter_than_one_query_is_said(engine):
    done = engine(*SIMULATED, "scenario.interval_ms=1.5")
    assert done.code == 2
    assert "one query on the idle system takes 2.0 ms" in done.out + done.err
    record = done.record
    assert record["performance"]["metric"]["unit"] == "streams"
