"""Whether answers are kept and given again (paper, IV-D; TEST04)."""

from __future__ import annotations

from dataclasses import replace

from engine.audit.altered import Altered
from engine.audit.finding import Finding, Outcome
from engine.audit.ratio import TOO_NOISY, compare
from engine.audit.rig import Rig
from loadgen import Issue, RunLog

AUDIT = "caching"
ALLOWED = 1.10
"""How many times faster the same sample again may be."""
PLACE = 3  # of the one sample, as in the official test


def caching(rig: Rig) -> tuple[Finding, RunLog]:
    """Compare runs of samples that were never seen with runs that ask for one again and again.

    Where samples differ in length, the second run asks for those of the first once more. What is
    submitted has a run of one sample besides, of the result's own length.
    """
    count = rig.sample_count()
    again = rig.parts.config.model.task == "translation"
    unique = rig.settings(issue=Issue.UNIQUE, traffic="v6")
    same = replace(unique, issue=Issue.SAME, same_index=PLACE, min_query_count=count)
    if unique.scenario.value == "offline":
        same = replace(same, min_duration_ms=0.0, min_query_count=1, min_sample_count=count)
    kept: list[RunLog] = []

    def unseen(number: int) -> RunLog:
        fresh = Altered(rig.library, count, rig.seed(1, number))
        return rig.run(unique, "audit: unique samples", fresh)

    def repeated(number: int) -> RunLog:
        if again:
            seen = Altered(rig.library, count, rig.seed(2, number))
            rig.run(unique, "audit: samples to repeat", seen)
            kept.append(rig.run(unique, "audit: the same samples again", seen))
        else:
            one = Altered(rig.library, count, rig.seed(2, number))
            kept.append(rig.run(same, "audit: one sample", one))
        return kept[-1]

    asked = rig.parts.config.audit
    # The gain is the cost of the unseen over that of the repeated.
    gain = compare(repeated, unseen, ALLOWED, asked.pairs, asked.max_pairs)
    outcome = gain.within(ALLOWED)
    what = "the same samples again are" if again else "one sample again and again is"
    sentence = (
        f"{what} {gain} times as fast as samples never seen before; at most {ALLOWED:g} is allowed"
    )
    if outcome is Outcome.UNDECIDED:
        sentence += f"; {TOO_NOISY}"
    if rig.is_submitted:
        full = replace(rig.full_settings(), issue=Issue.SAME, same_index=PLACE)
        kept.append(rig.run(full, "audit: one sample, a whole run"))
    return Finding(AUDIT, outcome, _sentence(sentence), gain.figures), kept[-1]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
