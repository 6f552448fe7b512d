"""Capacity planning against runs of the same simulated systems under the same rules."""

import json

import pytest

from engine.capacity import Fleet, smallest
from engine.errors import ConfigError
from sut.curve import ServiceCurve

SYSTEM = ("sut=simulated", "sut.batch=[1,32]", "sut.service_ms=[1,4.1]", "model=resnet50")


def test_the_predicted_peak_is_the_one_that_a_search_finds(engine):
    planned = engine("mode=plan", *SYSTEM, "plan.replicas=[1]", "plan.max_wait_us=[0]").record
    best = planned["plan"]["best"]
    assert (best["max_batch"], planned["verdict"], planned["exit_code"]) == (32, "DONE", 0)
    searched = engine(
        *SYSTEM, "sut.max_batch=32", "scenario.min_duration_s=60", "hydra.run.dir=searched"
    )
    found = json.loads((searched.folder / "searched" / "result.json").read_text())
    assert best["peak_qps"] == pytest.approx(found["search"]["best_qps"], rel=0.1)


def test_a_plan_names_the_smallest_fleet_and_draws_its_tail(engine):
    asked = ("plan.replicas=[1,2]", "plan.target_qps=20000", "plan.max_wait_us=[0]")
    ended = engine("mode=plan", *SYSTEM, *asked, "report=true")
    plan = ended.record["plan"]
    one, two = plan["fleets"]
    assert two["peak_qps"] > 1.9 * one["peak_qps"]
    needed = plan["needed"]
    assert (
        needed["peak_qps"]
        >= 20000
        > needed["peak_qps"] * (needed["replicas"] - 1) * 0.9 / (needed["replicas"])
    )
    assert [ms for _, ms in plan["tails"]] == pytest.approx(
        sorted(ms for _, ms in plan["tails"]), rel=0.05
    )
    (picture,) = ended.folder.glob("runs/**/plan.png")
    assert picture.stat().st_size > 10_000
    assert "20000 queries/s need" in ended.out
    (page,) = ended.folder.glob("runs/**/report.html")
    assert "Predicted peaks" in page.read_text()
    assert f">{two['peak_qps']:.4g}<" in page.read_text()
    assert page.read_text().count("<svg") + page.read_text().count("<img") == 1
    assert "simulated" in ended.out


def test_a_profile_of_a_real_system_can_be_simulated(engine):
    ended = engine(
        "mode=profile",
        "sut=null",
        "sut.delay_us=3000",
        "plan.seconds_per_batch=0.1",
        "plan.largest_batch=4",
    )
    (file,) = ended.folder.glob("runs/**/profile.json")
    curve = ServiceCurve.read(file)
    assert curve.batch == (1, 2, 4)
    assert all(3 <= ms < 30 for ms in curve.service_ms)
    assert curve.trace.rounds == 12
    assert "of the profile: batches over 1.5 times" in ended.out
    again = engine(
        "mode=plan",
        "sut=simulated",
        f"sut.profile={file}",
        "scenario.bound_ms=1000",  # which pauses of the machine do not reach
        "plan.max_batch=[4]",
        "plan.max_wait_us=[0]",
        "plan.replicas=[1]",
        "hydra.run.dir=planned",
    )
    assert again.code == 0
    plan = json.loads((again.folder / "planned" / "result.json").read_text())["plan"]
    low, high = plan["interval_qps"]
    assert 0.97 * low <= plan["best"]["peak_qps"] <= 1.03 * high
    assert f"{low:.4g} to {high:.4g} queries/s in 95 %" in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scenario=offline",), "needs a latency bound"),
        (("sut.service_ms=[16,70]",), "cannot be met by any number of replicas"),
        (("sut.service_ms=[9,60]", "sut.spread=0.8"), "of batches take longer"),
        (("plan.target_qps=1e12",), "needs over"),
    ],
)
def test_what_cannot_be_planned_is_said(engine, arguments, message):
    ended = engine("mode=plan", *SYSTEM, *arguments)
    assert ended.code == 3
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_the_smallest_fleet_is_found():
    asked = []

    def reached(count):
        asked.append(count)
        return Fleet(count, 10.0 * count**1.1)

    for target in (5.0, 10.0, 100.0, 12345.0):
        found = smallest(target, reached)
        assert found.peak_qps >= target
        assert found.replicas == 1 or reached(found.replicas - 1).peak_qps < target
    assert len(asked) < 60
    with pytest.raises(ConfigError, match="needs over"):
        smallest(1e9, reached)
