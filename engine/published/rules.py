"""What a closed-division result misses of the rules of its round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from engine.config import Rules, ScenarioRules
from engine.editions import shipped_editions
from engine.published.accuracy import required_quality
from engine.published.entry import Entry
from engine.published.logs import Facts
from engine.published.recompute import duration_ms, major, number, query_count
from engine.validation import shipped_rules

SEEDS = {
    "qsl": "effective_qsl_rng_seed",
    "sample_index": "effective_sample_index_rng_seed",
    "schedule": "effective_schedule_rng_seed",
}

# Models outside of a round's suite that its checker holds against one inside.
HELD_AS = {"mobilenet": "resnet50"}
# The suite's checker has held open results to the bound as well from this round on.
BOUND_IN_OPEN = 5


def edition_of(facts: Facts) -> str:
    """The round of a run, by its seeds or its load generator; empty where no edition is known."""
    for rules in shipped_editions():
        if not _foreign_seeds(rules, facts):
            return rules.name
    return {0: "v0_5", 1: "v1_0", 4: "v4_0"}.get(major(facts), "")


def tail_percentile(model: str, facts: Facts) -> float:
    """At which percentile the round of a run judges a server's or streams' latencies."""
    rules = _rules(edition_of(facts))
    return rules.tail_percentiles.get(model, 99) if rules else 99


def _foreign_seeds(rules: Rules, facts: Facts) -> list[str]:
    return [name for name, key in SEEDS.items() if facts.get(key) != getattr(rules.seeds, name)]


@cache
def _rules(name: str) -> Rules | None:
    return shipped_rules(name) if name else None


def rule_breaks(entry: Entry, runs: Sequence[Facts]) -> Iterator[str]:
    """What the entry's runs miss, one sentence each; nothing where the round has no edition.

    An open result chooses its own quality, and in earlier rounds its own bound.
    """
    rules = _rules(entry.round)
    if rules is None:
        return
    wanted = rules.server_runs if entry.scenario == "server" else 1
    if len(runs) < wanted:
        yield f"{len(runs)} of {wanted} runs are here"
    seen = dict.fromkeys(text for facts in runs for text in _of_run(rules, entry, facts))
    yield from seen
    required = required_quality(rules, entry.model) if entry.division == "closed" else None
    if required is not None and entry.quality is not None and entry.quality < required:
        yield f"quality {entry.quality:g}, at least {required:g} is asked for"


def _of_run(rules: Rules, entry: Entry, facts: Facts) -> Iterator[str]:
    asked: ScenarioRules = getattr(rules.scenarios, entry.scenario)
    long_ms, model = duration_ms(entry.scenario, facts), entry.model
    if long_ms is not None and long_ms < rules.min_duration_s * 999:
        yield f"ran {long_ms / 1000:.1f} s, at least {rules.min_duration_s:g} s are asked for"
    if entry.scenario == "offline":
        yield from _fewer("samples", number(facts, "effective_samples_per_query"), asked)
    else:
        yield from _fewer("queries", query_count(entry.scenario, facts), _tail(rules, entry, asked))
    bound, had_ns = _bound_ms(rules, entry), number(facts, "effective_target_latency_ns")
    if bound is not None and had_ns is not None and had_ns > bound * 1e6:
        yield f"latency bound {had_ns / 1e6:g} ms, {bound:g} ms is the rules'"
    counts = rules.performance_sample_counts
    loaded = number(facts, "effective_performance_sample_count")
    least = counts.get(model, counts.get(HELD_AS.get(model, ""), 0))
    if loaded is not None and loaded < least:
        yield f"{loaded:,.0f} samples were loaded, at least {least:,} are asked for"
    if wrong := _foreign_seeds(rules, facts):
        yield f"seeds are not the round's: {', '.join(wrong)}"


def _bound_ms(rules: Rules, entry: Entry) -> float | None:
    """The greatest bound, or interval, that a result may have; None for any."""
    if entry.division != "closed" and not held_to_bound(rules.name):
        return None
    if entry.scenario == "server":
        return server_bound_ms(rules, entry.model)
    interval = rules.multi_stream_intervals_ms.get(entry.model)
    # The tables round the interval of 15 frames a second down to a whole ms.
    return None if entry.scenario != "multi_stream" or interval is None else interval + 0.999


def held_to_bound(edition: str) -> bool:
    """Whether open results of the round are held to its bound as well."""
    first = edition.removeprefix("v").partition("_")[0]
    return first.isdecimal() and int(first) >= BOUND_IN_OPEN


def server_bound_ms(rules: Rules, model: str) -> float | None:
    """The Server bound that results of ``model`` are held to."""
    bounds = rules.server_bounds_ms
    return bounds.get(model, bounds.get(HELD_AS.get(model, "")))


def _tail(rules: Rules, entry: Entry, asked: ScenarioRules) -> ScenarioRules:
    if entry.scenario == "single_stream":
        return asked
    count = rules.tail_query_counts.get(entry.model, asked.min_query_count)
    return replace(asked, min_query_count=count)


def _fewer(what: str, count: float | None, asked: ScenarioRules) -> Iterator[str]:
    least = asked.min_sample_count if what == "samples" else asked.min_query_count
    # The queries of a closed loop of v0.5 are known from a rounded rate.
    if count is not None and count < least * 0.999:
        yield f"{count:,.0f} {what}, at least {least:,} are asked for"
