"""Whether quality and speed hold on a data set that nobody has seen (paper, IV-D)."""

from __future__ import annotations

import numpy as np
from scipy.stats import fisher_exact

from engine.audit.altered import Altered
from engine.audit.answers import alike
from engine.audit.finding import Finding, Outcome
from engine.audit.ratio import TOO_NOISY, compare
from engine.audit.rig import First, Rig
from engine.config import Precision
from engine.plan import full_settings
from loadgen import Mode, RunLog, SampleLibrary

AUDIT = "own_data"
ALLOWED = 1.10
"""How many times slower the unseen data may be."""
ALLOWED_LOSS = 0.05
"""How much lower the share of answers may be that agree with the FP32 network's."""
DOUBT = 0.01
ANSWERS = 256


def own_data(rig: Rig) -> tuple[Finding, RunLog]:
    """Compare speed, and for classifiers agreement with FP32, on the data set and on altered data.

    The altered samples come under other indices, so answers known by index are wrong.
    """
    settings, kept = rig.settings(), list[RunLog]()
    count = min(rig.library.performance_count, rig.sample_count())

    def usual(number: int) -> RunLog:
        return rig.run(settings, "audit: the data set")

    def unseen(number: int) -> RunLog:
        altered = Altered(rig.library, count, rig.seed(7, number))
        kept.append(rig.run(settings, "audit: unseen data", altered))
        return kept[-1]

    asked = rig.parts.config.audit
    loss = compare(usual, unseen, ALLOWED, asked.pairs, asked.max_pairs)
    speed, figures = loss.within(ALLOWED), dict[str, float | int | str](loss.figures)
    said = f"On data never seen a run costs {loss} times what it costs on the data set (at most "
    said += f"{ALLOWED:g}{f'; {TOO_NOISY}' if speed is Outcome.UNDECIDED else ''})"
    if rig.parts.artefact is None or rig.parts.config.model.task != "image_classification":
        return Finding(AUDIT, speed, f"{said}; answers were not compared.", figures), kept[-1]
    known, known_count = _agreeing(rig, rig.library)
    other, other_count = _agreeing(rig, Altered(rig.library, ANSWERS, rig.seed(8)))
    figures |= {"agree_on_data_set": known / known_count, "agree_unseen": other / other_count}
    said += (
        f"; {other / other_count:.1%} of the answers are the FP32 network's, on the data set "
        f"{known / known_count:.1%} (at most {ALLOWED_LOSS:.0%} less is allowed)."
    )
    table = [[other, other_count - other], [known, known_count - known]]
    surely = fisher_exact(table, alternative="less").pvalue < DOUBT
    worse = surely and known / known_count - other / other_count > ALLOWED_LOSS
    outcome = Outcome.FAIL if worse else speed
    return Finding(AUDIT, outcome, said, figures), kept[-1]


def _agreeing(rig: Rig, library: SampleLibrary) -> tuple[int, int]:
    """How many of the first answers are those of the FP32 network, and of how many."""
    from engine.models import prepare
    from engine.quality import in_order, plain_loop

    parts = rig.parts
    some = First(library, min(ANSWERS, library.total_count))
    settings = full_settings(parts.config, rig.rate_qps * 0.5, Mode.ACCURACY)
    log = rig.run(settings, "audit: answers", some)
    fp32 = Precision(name="fp32")
    artefact = prepare(parts.config.model, fp32, parts.cache, parts.library.calibration)
    truth = plain_loop(artefact.path, artefact.output.name, some, parts.library.answer)
    answers = [
        None if each is None else parts.library.answer(each)
        for each in in_order(log, some.total_count)
    ]
    task = parts.config.model.task
    agree = [
        seen is not None and known is not None and alike(np.asarray(known), np.asarray(seen), task)
        for known, seen in zip(truth, answers, strict=True)
    ]
    return sum(agree), len(agree)
