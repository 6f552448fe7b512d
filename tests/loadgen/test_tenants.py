"""Several systems at once: each with its own traffic, bound and verdict, from one instant on."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from loadgen import Arrivals, Ending, Mode, Tenant, judge, judge_tenants, run, run_tenants


@pytest.fixture
def tenant(settings, library, scripted_sut):
    """Makes a tenant; keyword arguments are settings."""

    def make(name, sut=None, scenario="server", **changes):
        return Tenant(name, settings(scenario, **changes), library, sut or scripted_sut(name=name))

    return make


def slow(seconds):
    def answer(batch):
        time.sleep(seconds)
        batch.complete(batch.indices)

    return answer


def test_each_has_the_traffic_that_it_has_alone(tenant, library, scripted_sut):
    tenants = [
        tenant("fast", target_qps=2000.0, bound_ms=50.0, schedule_seed=1),
        tenant("slow", target_qps=300.0, bound_ms=90.0, min_duration_ms=300, sample_index_seed=2),
    ]
    logs = run_tenants(tenants)
    assert list(logs) == ["fast", "slow"]
    for one in tenants:
        alone, together = run(one.settings, library, scripted_sut()), logs[one.name]
        assert together.ending is Ending.COMPLETE
        assert together.settings == one.settings
        assert np.array_equal(alone.scheduled_ns, together.scheduled_ns)
        assert np.array_equal(alone.sample_index, together.sample_index)
        assert together.done.all()


def test_the_clocks_start_at_one_instant(tenant, scripted_sut):
    """The first query of each is due at its start, and a waiting taker gets it then."""
    began = {}

    def noting(name):
        def answer(batch):
            began.setdefault(name, time.monotonic())
            batch.complete(batch.indices)

        return scripted_sut(answer=answer, name=name)

    names = [f"tenant {n}" for n in range(5)]
    logs = run_tenants([tenant(name, noting(name)) for name in names])
    starts = [began[name] - logs[name].taken_ns[0] / 1e9 for name in names]
    assert max(starts) - min(starts) < 0.1


def test_they_end_independently_and_are_judged_by_their_own_bounds(tenant, scripted_sut):
    logs = run_tenants(
        [
            tenant("short", min_duration_ms=100, bound_ms=1000.0),
            tenant("long", min_duration_ms=600, target_qps=200.0, bound_ms=1000.0),
            tenant("offline", scenario="offline", min_sample_count=500, min_duration_ms=0),
            tenant("stream", scenario="single_stream"),
            tenant("strict", scripted_sut(answer=slow(0.004)), target_qps=100.0, bound_ms=2.0),
        ]
    )
    joint = judge_tenants(logs)
    assert logs["long"].completed_ns.max() > 2 * logs["short"].completed_ns.max()
    assert not joint.valid
    assert {name for name, verdict in joint.verdicts.items() if not verdict.valid} == {"strict"}
    del logs["strict"]
    assert judge_tenants(logs).valid


def test_one_that_fails_stops_the_others(tenant, failing_sut):
    began = time.monotonic()
    logs = run_tenants(
        [
            tenant("a", min_duration_ms=20_000),
            tenant("b", failing_sut, min_duration_ms=20_000),
            tenant("c", scenario="single_stream", min_duration_ms=20_000),
        ]
    )
    assert time.monotonic() - began < 15
    endings = {name: log.ending for name, log in logs.items()}
    assert endings == {"a": Ending.STOPPED, "b": Ending.SUT_ERROR, "c": Ending.STOPPED}
    assert "on fire" in logs["b"].error
    assert "scripted ended with sut_error" in logs["a"].error
    assert logs["a"].done.sum() > 0
    assert not judge_tenants(logs).valid
    assert "answers" not in {row.name for row in judge(logs["a"]).missed}


def test_one_that_falls_silent_stops_the_others(tenant, scripted_sut):
    release = threading.Event()
    mute = scripted_sut(answer=lambda batch: release.wait(30), name="mute")
    logs = run_tenants(
        [tenant("a", min_duration_ms=20_000), tenant("b", mute, sut_timeout_ms=300.0)]
    )
    release.set()
    assert logs["b"].ending is Ending.SUT_TIMEOUT
    assert logs["a"].ending is Ending.STOPPED
    assert "mute ended with sut_timeout" in logs["a"].error


def test_one_that_cannot_load_lets_none_start(tenant, scripted_sut, library):
    class Unready(scripted_sut):
        def load(self, samples):
            raise MemoryError("64 GiB wanted")

    first = scripted_sut(name="first")
    logs = run_tenants([tenant("a", first), tenant("b", Unready(name="big")), tenant("c")])
    assert [log.ending for log in logs.values()] == [
        Ending.STOPPED,
        Ending.SUT_ERROR,
        Ending.STOPPED,
    ]
    assert all(len(log.status) == 0 for log in logs.values())
    assert "64 GiB" in logs["b"].error
    assert first.loaded == 0


def test_a_library_that_raises_leaves_nothing_loaded(tenant, library_of, scripted_sut, settings):
    class Broken(library_of):
        def load(self, indices):
            raise OSError("disk on fire")

    first = scripted_sut()
    broken = Tenant("b", settings(), Broken(), scripted_sut())
    with pytest.raises(OSError, match="disk on fire"):
        run_tenants([tenant("a", first), broken])
    assert first.loaded == 0


def test_one_that_ends_early_by_itself_stays_complete(tenant, failing_sut):
    logs = run_tenants(
        [
            tenant("a", min_duration_ms=0, min_query_count=1, target_qps=1000.0),
            tenant("b", failing_sut, target_qps=10.0, arrivals=Arrivals.CONSTANT),
        ]
    )
    assert logs["a"].ending is Ending.COMPLETE
    assert logs["b"].ending is Ending.SUT_ERROR


def test_ctrl_c_keeps_what_all_have_measured(tenant):
    pressed = []

    def press_once(name, progress):
        # By then the clocks run: an interrupt that comes before is another test's affair.
        if progress.completed > 20 and not pressed:
            pressed.append(name)
            os.kill(os.getpid(), signal.SIGINT)

    logs = run_tenants([tenant(name, min_duration_ms=20_000) for name in "ab"], press_once)
    for log in logs.values():
        assert log.ending is Ending.INTERRUPTED
        assert log.done.sum() > 0
        assert log.error is None


def test_a_watch_knows_the_tenant_and_can_end_all(tenant):
    seen = set()

    def watch(name, progress):
        seen.add(name)
        return name == "b" and progress.completed > 20

    logs = run_tenants([tenant(name, min_duration_ms=20_000) for name in "ab"], watch)
    assert seen == {"a", "b"}
    assert {log.ending for log in logs.values()} == {Ending.STOPPED}


def test_warm_ups_come_before_the_common_start(tenant):
    logs = run_tenants([tenant("a", warmup_ms=100.0), tenant("b")])
    assert logs["a"].warmup.done.all()
    assert logs["b"].warmup is None
    assert {log.ending for log in logs.values()} == {Ending.COMPLETE}


def test_a_warm_up_that_fails_stops_the_others(tenant, failing_sut):
    logs = run_tenants([tenant("a"), tenant("b", failing_sut, warmup_ms=2000.0)])
    assert logs["b"].ending is Ending.SUT_ERROR
    assert logs["a"].ending is Ending.STOPPED
    assert len(logs["a"].status) == len(logs["b"].status) == 0


def test_what_contradicts_is_refused(tenant, null_sut):
    with pytest.raises(ValueError, match="no tenant"):
        run_tenants([])
    with pytest.raises(ValueError, match="'a': two tenants"):
        run_tenants([tenant("a"), tenant("b"), tenant("a")])
    with pytest.raises(ValueError, match=r"'b': .*performance"):
        run_tenants([tenant("a"), tenant("b", mode=Mode.ACCURACY)])
    with pytest.raises(ValueError, match="'a' and 'b' share"):
        run_tenants([tenant("a", null_sut), tenant("b", null_sut)])
