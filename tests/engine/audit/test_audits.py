"""Systems that cheat are caught, each by the audit that is meant for it; an honest one passes."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine.audit.altered import Altered
from engine.audit.answers import answers
from engine.audit.caching import caching
from engine.audit.finding import Outcome
from engine.audit.own_data import own_data
from engine.audit.ratio import Ratio, ratio_of
from engine.audit.rig import Rig
from engine.audit.seeds import seeds
from engine.warm import WarmLibrary
from loadgen import Issue, LoadedSet, Mode

WORK_S = 0.002


class Pictures:
    """Samples of noise, as a library of images hands them out."""

    name, total_count, performance_count = "pictures", 64, 64

    def load(self, indices):
        rng = np.random.default_rng(5)
        images = rng.random((self.total_count, 3, 8, 8), dtype=np.float32)
        return LoadedSet(np.asarray(indices), (images[indices],))

    def unload(self, indices):
        pass

    def answer(self, response):
        return response


class Honest:
    """Takes ``work_s`` for a sample; the answer is where its brightest pixel lies."""

    name, workers, work_s = "honest", 1, WORK_S

    def load(self, samples):
        self.samples = samples

    def unload(self):
        pass

    def compute(self, image, queries):
        time.sleep(self.work_s)
        return int(np.argmax(image))

    def serve(self, queries, worker):
        while (batch := queries.take(1)) is not None:
            images = self.samples.inputs[0][self.samples.rows(batch.indices)]
            batch.complete(np.array([self.compute(image, queries) for image in images]))


class Caching(Honest):
    """Knows a picture again."""

    name = "caching"

    def __init__(self):
        self.known = {}

    def compute(self, image, queries):
        key = image.tobytes()
        if key not in self.known:
            self.known[key] = super().compute(image, queries)
        return self.known[key]


class Tuned(Honest):
    """Is fast where the seed is that of the rules."""

    name = "tuned"

    def __init__(self, seed):
        self.seed = seed

    def compute(self, image, queries):
        if queries.settings.sample_index_seed != self.seed:
            time.sleep(3 * self.work_s)
        return super().compute(image, queries)


class Cheap(Honest):
    """Guesses one picture in four while it is timed."""

    name, work_s = "cheap", 0

    def compute(self, image, queries):
        right = super().compute(image, queries)
        guesses = queries.settings.mode is Mode.PERFORMANCE and right % 4 == 0
        return -1 if guesses else right


class Recognising(Honest):
    """Has the answers of the data set prepared; others take their time."""

    name = "recognising"

    def __init__(self):
        known = Pictures().load(np.arange(Pictures.total_count)).inputs[0]
        self.known = {image.tobytes(): int(np.argmax(image)) for image in known}

    def compute(self, image, queries):
        found = self.known.get(image.tobytes())
        return super().compute(image, queries) if found is None else found


@pytest.fixture
def rig(configured):
    def make(sut, *overrides, rate_qps=200.0):
        config = configured(
            "model=mobilenet", "search=none", "audit.seconds=0.05", "audit.seed=1", *overrides
        )
        library = Pictures()
        parts = SimpleNamespace(config=config, library=library, sut=sut, artefact=None, cache=None)
        return Rig(parts, WarmLibrary(library), rate_qps, 1, lambda name, watch: watch)

    return make


SCENARIOS = ("scenario=single_stream", "scenario=offline")
UNSURE = Ratio(1.08, 0.9, 1.3, 4)


# What costs the same is seen to in longer runs than what cheats.
LONG_ENOUGH = ("audit.seconds=0.1", "audit.max_pairs=8")


def passes(found):
    """Whether an audit passed; where others use the machine, it may not get to know."""
    if found.outcome is Outcome.UNDECIDED:
        return found.figures["ratio_low"] <= 1 <= found.figures["ratio_high"]
    return found.outcome is Outcome.PASS


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("audit", [answers, caching, seeds, own_data])
def test_an_honest_system_passes(rig, audit, scenario):
    honest = Honest()
    if audit is answers:  # which asks what it says, not how long it takes
        honest.work_s = 0
    found, log = audit(rig(honest, scenario, *LONG_ENOUGH))
    assert passes(found), found.sentence
    assert log.done.all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kept_answers_are_caught(rig, scenario):
    found, _ = caching(rig(Caching(), scenario))
    assert found.outcome is Outcome.FAIL, found.sentence
    assert found.figures["ratio_low"] > 1.1


def test_kept_answers_are_caught_in_server_traffic(rig):
    server = ("scenario=server", "scenario.bound_ms=100")
    found, _ = caching(rig(Caching(), *server))
    assert found.outcome is Outcome.FAIL, found.sentence


def test_kept_answers_of_unlike_samples_are_caught(rig):
    found, _ = caching(rig(Caching(), "scenario=single_stream", "model.task=translation"))
    assert found.outcome is Outcome.FAIL, found.sentence
    assert "same samples again" in found.sentence


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_system_tuned_to_the_seed_is_caught(rig, scenario):
    made = rig(Honest(), scenario)
    tuned = Tuned(made.parts.config.rules.seeds.sample_index)
    found, _ = seeds(rig(tuned, scenario))
    assert found.outcome is Outcome.FAIL, found.sentence


# Who is tuned ends half a run behind; a pause of the machine is shorter than the bound.
SHORT_SERVER = (
    "scenario=server",
    "scenario.bound_ms=100",
    "scenario.min_duration_s=0.4",
    "scenario.min_query_count=40",
    "rules.early_stopping=false",
    "rules.late_wakeup_ms=500",
    "audit.pairs=2",
)


def test_a_server_tuned_to_the_seed_is_caught(rig):
    made = rig(Honest(), *SHORT_SERVER)
    tuned = Tuned(made.parts.config.rules.seeds.sample_index)
    found, _ = seeds(rig(tuned, *SHORT_SERVER))
    assert found.outcome is Outcome.FAIL, found.sentence


def test_an_honest_server_passes_with_other_seeds(rig):
    server = [each.replace("bound_ms=100", "bound_ms=2000") for each in SHORT_SERVER]
    found, _ = seeds(rig(Honest(), *server, rate_qps=50.0))
    assert found.outcome is Outcome.PASS, found.sentence
    assert found.figures["rate_qps"] == pytest.approx(50 / 1.05)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cheaper_answers_while_timed_are_caught(rig, scenario):
    found, _ = answers(rig(Cheap(), scenario))
    assert found.outcome is Outcome.FAIL, found.sentence


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_system_that_knows_the_data_set_is_caught(rig, scenario):
    found, _ = own_data(rig(Recognising(), scenario))
    assert found.outcome is Outcome.FAIL, found.sentence


@pytest.mark.parametrize("audit", [caching, seeds, own_data])
def test_what_is_undecided_says_its_figures_and_what_to_do(rig, monkeypatch, audit):
    def unsure(first, second, *_):
        first(0), second(0)
        return UNSURE

    monkeypatch.setattr(f"{audit.__module__}.compare", unsure)
    found, _ = audit(rig(Honest(), "scenario=single_stream"))
    assert found.outcome is Outcome.UNDECIDED
    assert "1.080 (0.900 to 1.300, 4 pairs)" in found.sentence
    assert "too noisy to tell: set audit.seconds or audit.max_pairs higher" in found.sentence


@pytest.mark.parametrize(
    ("unseen", "outcome"), [(100, Outcome.FAIL), (245, Outcome.PASS), (250, Outcome.PASS)]
)
def test_a_classifier_that_knows_only_the_data_set_is_caught_by_its_answers(
    rig, monkeypatch, unseen, outcome
):
    """Of 256 answers 250 are the FP32 network's on the data set, and so many on altered data."""

    def agreeing(rig, library):
        return (unseen if isinstance(library, Altered) else 250), 256

    def same(first, second, *_):
        return first(0) and second(0) and Ratio(1.0, 0.99, 1.01, 4)

    monkeypatch.setattr("engine.audit.own_data._agreeing", agreeing)
    monkeypatch.setattr("engine.audit.own_data.compare", same)
    made = rig(Honest(), "scenario=single_stream")
    made.parts.artefact = "a network"
    found, _ = own_data(made)
    assert found.outcome is outcome, found.sentence
    assert f"{unseen / 256:.1%} of the answers are the FP32 network's" in found.sentence


@pytest.mark.parametrize("audit", [answers, caching])
def test_a_submissions_audits_end_with_a_run_like_that_of_the_result(rig, audit):
    quick = Honest()
    quick.work_s = 0
    short = ("scenario=single_stream", "scenario.min_duration_s=0.2", "audit.max_pairs=4")
    for mode, long_ms in (("submit", 200), ("audit", 50)):
        _, log = audit(rig(quick, *short, f"mode={mode}"))
        assert log.settings.min_duration_ms == long_ms
        assert (log.settings.issue is Issue.SAME) is (audit is caching)


def test_a_server_that_is_too_slow_with_any_seeds_is_undecided_and_says_what_to_do(rig):
    slow = Honest()
    slow.work_s = 0.008
    found, _ = seeds(rig(slow, *SHORT_SERVER, "audit.pairs=2"))
    assert found.outcome is Outcome.UNDECIDED, found.sentence
    assert "nor was the run with the rules' seeds" in found.sentence
    assert "Repeat it where nothing else uses the machine" in found.sentence


def test_altered_samples_differ_by_seed_and_index_and_come_again():
    library = Pictures()
    one, other = Altered(library, 100, seed=1), Altered(library, 100, seed=2)
    every = np.arange(100)
    (first,), (second,) = one.load(every).inputs, other.load(every).inputs
    seen = {image.tobytes() for image in library.load(np.arange(64)).inputs[0]}
    made = {image.tobytes() for image in (*first, *second)}
    assert len(made) == 200 and not made & seen
    np.testing.assert_array_equal(one.load(np.array([70, 3])).inputs[0], first[[70, 3]])


def test_words_change_places_and_the_end_stays():
    words = np.array([[5, 6, 7, 2, 2], [8, 2, 2, 2, 2]], np.int32)
    lengths = np.array([4, 2], np.int32)
    loaded = LoadedSet(np.arange(2), (words, lengths))
    library = SimpleNamespace(
        name="words", total_count=2, load=lambda indices: replace(loaded, indices=indices)
    )
    changed, counts = Altered(library, 2, seed=0).load(np.arange(2)).inputs
    assert sorted(changed[0]) == sorted(words[0]) and list(changed[0, 3:]) == [2, 2]
    assert list(changed[0]) != list(words[0])
    np.testing.assert_array_equal(changed[1], words[1])
    np.testing.assert_array_equal(counts, lengths)


def test_the_interval_of_a_ratio_holds_its_promise():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(500):
        drift = rng.normal(0, 0.3, 5)
        first, second = (np.exp(drift + rng.normal(0, 0.02, 5) + up) for up in (0, np.log(1.2)))
        found = ratio_of(list(first), list(second))
        held += found.low <= 1.2 <= found.high
    assert 480 <= held <= 500
