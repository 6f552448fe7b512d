"""Bulk text, the accuracy log and the trace."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import Mode, judge, run
from loadgen.official import write_logs
from loadgen.official.accuracy import accuracy_blocks
from loadgen.official.text import decimal, hexadecimal, joined_rows, microseconds
from loadgen.official.trace import lanes

COUNTS = {"total_count": 64, "performance_count": 64, "sut_name": "s", "library_name": "q"}
TIMES = st.lists(st.integers(0, 2**62) | st.integers(0, 20_000), min_size=1, max_size=50)


@given(TIMES)
def test_decimal_digits_are_pythons(values):
    text = joined_rows(b"<", decimal(np.array(values, np.int64)), b">")
    assert text.decode() == "".join(f"<{value}>" for value in values)


@given(TIMES)
def test_microseconds_have_three_decimals(values):
    text = joined_rows(*microseconds(np.array(values, np.int64)), b"\n").decode()
    assert text.split() == [f"{value // 1000}.{value % 1000:03d}" for value in values]


@given(st.binary(min_size=1, max_size=300))
def test_hex_is_upper_case(data):
    text = joined_rows(hexadecimal(np.frombuffer(data, np.uint8)[None]))
    assert text.decode() == data.hex().upper()


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=60))
def test_lanes_are_as_few_as_can_be_and_nothing_in_one_overlaps(intervals):
    begin, length = np.array(sorted(intervals), np.int64).reshape(-1, 2).T
    end = begin + length
    lane = lanes(begin, end)
    for one in np.unique(lane):
        mine = lane == one
        assert (begin[mine][1:] >= end[mine][:-1]).all()
    at_once = [((begin <= t) & (t < end)).sum() for t in begin]
    assert len(np.unique(lane)) == max(at_once, default=0)


@pytest.fixture
def accuracy_log(settings, library, scripted_sut):
    """A finished accuracy run whose samples were answered with ``responses(index)``."""

    def make(responses, scenario="offline", **sut):
        def answer(batch):
            batch.complete([responses(int(index)) for index in batch.indices])

        asked = settings(scenario, mode=Mode.ACCURACY)
        return run(asked, library, scripted_sut(answer=answer, **sut))

    return make


RESPONSES = {
    "int64": lambda i: np.int64(i),
    "float32 pairs": lambda i: np.array([i, 0.5], np.float32),
    "of many lengths": lambda i: np.arange(i % 7, dtype=np.int16),
    "all empty": lambda i: np.empty(0, np.float32),
    "long": lambda i: np.full(5000, i, np.uint8),
    "not contiguous": lambda i: (np.arange(12).reshape(3, 4) + i).T,
}


@pytest.mark.parametrize("kind", RESPONSES)
def test_the_accuracy_log_holds_the_bytes_of_each_response(kind, accuracy_log):
    log = accuracy_log(RESPONSES[kind], max_batch=5)
    entries = json.loads(b"".join(accuracy_blocks(log)))
    assert len(entries) == 64
    for entry in entries:
        assert list(entry) == ["seq_id", "qsl_idx", "data"]
        assert entry["qsl_idx"] == log.sample_index[entry["seq_id"]]
        assert bytes.fromhex(entry["data"]) == RESPONSES[kind](entry["qsl_idx"]).tobytes()
        assert entry["data"] == entry["data"].upper()


@pytest.mark.parametrize("kind", ["int64", "of many lengths"])
def test_blocks_of_responses_make_one_array(kind, accuracy_log, monkeypatch):
    log = accuracy_log(RESPONSES[kind])
    whole = b"".join(accuracy_blocks(log))
    for size in (1, 7, 63, 64, 65):
        monkeypatch.setattr("loadgen.official.accuracy.BLOCK", size)
        assert b"".join(accuracy_blocks(log)) == whole
    assert whole.count(b"\n") == 64 + 2


def test_responses_are_listed_as_they_came(settings, library, scripted_sut):
    held = []

    def backwards(batch):
        held.append(batch)
        if len(held) == 64:
            for late in reversed(held):
                late.complete(late.indices)

    asked = settings("offline", mode=Mode.ACCURACY)
    log = run(asked, library, scripted_sut(answer=backwards))
    order = [entry["seq_id"] for entry in json.loads(b"".join(accuracy_blocks(log)))]
    assert order == list(range(63, -1, -1))


def test_python_objects_are_not_logged_and_leave_no_result(accuracy_log, tmp_path):
    log = accuracy_log(lambda i: np.array([{"a": i}], dtype=object))
    with pytest.raises(TypeError, match="Python objects"):
        write_logs(tmp_path, log, judge(log), **COUNTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server", "offline"])
def test_the_trace_is_json_with_a_bar_for_each_sample(
    scenario, settings, library, scripted_sut, tmp_path
):
    log = run(settings(scenario), library, scripted_sut(max_batch=4, workers=2))
    write_logs(tmp_path, log, judge(log), **COUNTS, trace=True)
    text = (tmp_path / "mlperf_log_trace.json").read_text()
    bars = json.loads(text)["traceEvents"]
    assert len(bars) == len(log.sample_index) > 50
    assert len(text) < 100 * len(bars) + 100
    taken = sorted(zip(log.taken_ns.tolist(), log.sample_index.tolist(), strict=True))
    seen = sorted((round(bar["ts"] * 1000), int(bar["name"])) for bar in bars)
    assert seen == taken
    total_ns = sum(round(bar["dur"] * 1000) for bar in bars)
    assert total_ns == np.maximum(log.completed_ns - log.taken_ns, 1).sum()
    waited = [bar["args"]["w"] for bar in bars]
    assert min(waited) >= 0
    by_lane = {}
    for bar in bars:
        begin = round(bar["ts"] * 1000)
        assert by_lane.get(bar["tid"], 0) <= begin
        by_lane[bar["tid"]] = begin + round(bar["dur"] * 1000)
