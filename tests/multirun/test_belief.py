"""The posterior over the peak, against sampling."""

import numpy as np
import pytest

from multirun.belief import Belief, Evidence, Prior, Target, believe

PRIOR = Prior(1000, 5000, slope=15)


def target(rate):
    return Target(100_000, 1000)


def test_without_evidence_it_is_the_prior():
    belief = believe(PRIOR, [], target)
    assert belief.quantile(0.5) == pytest.approx(1000, rel=0.02)
    assert belief.spread == pytest.approx(PRIOR.spread, rel=0.05)
    assert belief.weights.sum() == pytest.approx(1)


def test_more_late_queries_mean_a_lower_peak():
    medians = [
        believe(PRIOR, [Evidence(900, late, 10_000, late)], target).quantile(0.5)
        for late in (10, 100, 500, 3000)
    ]
    assert medians == sorted(medians, reverse=True)


def test_more_queries_narrow_it_and_clusters_widen_it():
    # Each twice: a single probe may be disturbed, and says less.
    few = believe(PRIOR, [Evidence(1000, 10, 1000, 10)] * 2, target)
    many = believe(PRIOR, [Evidence(1000, 1000, 100_000, 1000)] * 2, target)
    clustered = believe(PRIOR, [Evidence(1000, 1000, 100_000, 50_000)] * 2, target)
    assert many.spread < clustered.spread < few.spread
    assert clustered.dispersion > 10 * many.dispersion


def test_a_run_passes_every_second_time_at_the_peak():
    found = [Evidence(1000, 10_000, 1_000_000, 90_000), Evidence(1050, 20_700, 1_000_000, 186_300)]
    belief = believe(PRIOR, found, target)
    assert belief.quantile(0.5) == pytest.approx(1000, rel=0.003)
    assert belief.pass_probability(belief.quantile(0.5), target(1000)) == pytest.approx(
        0.5, abs=0.12
    )
    assert belief.pass_probability(950, target(950)) > 0.97
    assert belief.pass_probability(1050, target(1050)) < 0.03


def test_pass_probability_is_that_of_overdispersed_counts():
    """Clusters of 4 arriving independently, counted by simulation."""
    one = np.ones(1)
    belief = Belief(1000 * one, 15 * one, 0 * one, 1000 * one, one, 0.01, 4.0)
    rng = np.random.default_rng(0)
    for share in (0.008, 0.0095, 0.0103):
        rate = float(1000 * (share / 0.01) ** (1 / 15))
        counts = 4 * rng.poisson(share * 100_000 / 4, 20_000)
        expected = (counts <= 1000).mean()
        assert belief.pass_probability(rate, target(rate)) == pytest.approx(expected, abs=0.03)


def test_a_run_that_may_have_no_late_query_never_passes():
    assert believe(PRIOR, [], target).pass_probability(10.0, Target(50, -1)) == 0.0


def test_lateness_at_any_rate_is_told_from_queueing():
    """Half the allowed share is late at 400 to 700 of 1000 qps: that does not lower the peak."""
    found = [Evidence(rate, 50, 10_000, 50) for rate in (400, 500, 600, 700)]
    found += [Evidence(950, 72, 10_000, 72), Evidence(1030, 140, 10_000, 140)]
    belief = believe(PRIOR, found, target)
    assert float((belief.floors * belief.weights).sum()) == pytest.approx(0.005, abs=0.0015)
    assert belief.quantile(0.5) == pytest.approx(980, rel=0.03)
    assert belief.pass_probability(800, target(800)) > 0.95
