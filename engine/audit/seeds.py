"""Whether the result holds with other random seeds (paper, IV-D; TEST05, v0.5's TEST03)."""

from __future__ import annotations

from dataclasses import replace

from engine.audit.finding import Finding, Outcome
from engine.audit.ratio import TOO_NOISY, compare
from engine.audit.rig import Rig
from engine.plan import full_settings
from loadgen import RunLog, Scenario, Settings, judge

AUDIT = "seeds"
ALLOWED = 1.05
"""How many times slower it may be with other seeds."""


def seeds(rig: Rig) -> tuple[Finding, RunLog]:
    """Run with seeds that nobody knew before.

    Server: a run of full length at a rate 5 % lower must be valid; of several tries with seeds of
    their own, one. Else: pairs of runs with the rules' seeds and with others.
    """
    if rig.parts.config.scenario.name == Scenario.SERVER:
        return _at_rate(rig)
    rules = rig.settings()
    kept: list[RunLog] = []

    def known(number: int) -> RunLog:
        return rig.run(rules, "audit: the rules' seeds")

    def others(number: int) -> RunLog:
        kept.append(rig.run(_reseeded(rig, rules, number), "audit: other seeds"))
        return kept[-1]

    asked = rig.parts.config.audit
    loss = compare(known, others, ALLOWED, asked.pairs, asked.max_pairs)
    outcome = loss.within(ALLOWED)
    sentence = (
        f"With other seeds a run costs {loss} times what it costs with the rules'; at most "
        f"{ALLOWED:g} is allowed"
    )
    if outcome is Outcome.UNDECIDED:
        sentence += f"; {TOO_NOISY}"
    return Finding(AUDIT, outcome, f"{sentence}.", loss.figures), kept[-1]


def _reseeded(rig: Rig, settings: Settings, number: int) -> Settings:
    return replace(
        settings,
        qsl_seed=rig.seed(3, number),
        sample_index_seed=rig.seed(4, number),
        schedule_seed=rig.seed(5, number),
    )


def _at_rate(rig: Rig) -> tuple[Finding, RunLog]:
    rate_qps = rig.rate_qps / ALLOWED
    full, tries = full_settings(rig.parts.config, rate_qps), rig.parts.config.audit.pairs
    figures: dict[str, float | int | str] = {"rate_qps": rate_qps}
    for number in range(tries):
        log = rig.run(_reseeded(rig, full, number), "audit: other seeds")
        verdict = judge(log)
        if verdict.valid:
            figures["tries"] = number + 1
            sentence = (
                f"At {rate_qps:.4g} queries/s, {ALLOWED - 1:.0%} below the result, a run with "
                f"other seeds is valid (try {number + 1} of at most {tries})."
            )
            return Finding(AUDIT, Outcome.PASS, sentence, figures), log
    missed = "; ".join(f"{row.name}: {row.measured}" for row in verdict.missed)
    control = judge(rig.run(full, "audit: the rules' seeds"))
    figures["tries"] = tries
    said = f"At {rate_qps:.4g} queries/s none of {tries} runs with other seeds was valid ({missed})"
    if control.valid:
        sentence = f"{said}, but the run with the rules' seeds was."
        return Finding(AUDIT, Outcome.FAIL, sentence, figures), log
    sentence = (
        f"{said}, nor was the run with the rules' seeds: the system has become slower. Repeat it "
        "where nothing else uses the machine, or set audit.pairs higher."
    )
    return Finding(AUDIT, Outcome.UNDECIDED, sentence, figures), log
