"""The null system answers everything, and as late as it is told to."""

import pytest

from loadgen import Mode, judge, run
from sut.null import NullSut


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_it_is_valid_in_every_scenario(scenario, settings, library):
    asked = settings(scenario, min_duration_ms=0 if scenario == "offline" else 100)
    assert judge(run(asked, library, NullSut(workers=2, max_batch=8))).valid


def test_its_answer_is_the_samples_index(settings, library):
    log = run(settings("offline", mode=Mode.ACCURACY), library, NullSut(max_batch=5))
    assert [int(answer) for answer in log.responses] == log.sample_index.tolist()


def test_its_delay_is_seen_in_the_latency(settings, library):
    asked = settings("single_stream", min_query_count=20, min_duration_ms=0)
    log = run(asked, library, NullSut(delay_us=2000))
    assert log.latency_ns.min() >= 2_000_000
