"""Config files of lines ``model.scenario.key = number``, either of the first two a ``*``."""

from __future__ import annotations

import difflib
import logging
from dataclasses import dataclass
from pathlib import Path

from loadgen.mlperf import rules
from loadgen.mlperf.enums import TestMode, TestScenario
from loadgen.mlperf.settings import TestSettings

logger = logging.getLogger("loadgen.mlperf")

NO_FILE, MALFORMED = -2, -22
SCENARIOS = tuple(TestScenario.__members__)


@dataclass(frozen=True)
class Key:
    """A key's setting and the factor to its unit; ``scenario`` where it is that of one only.

    ``only_with``: a flag without which it is left alone. ``built_in``: not read from files.
    """

    setting: str
    factor: float = 1
    scenario: str | None = None
    only_with: str | None = None
    built_in: bool = False


PLAIN = (
    "accuracy_log_rng_seed",
    "accuracy_log_sampling_target",
    "accuracy_sample_count_override",
    "max_query_count",
    "min_query_count",
    "performance_issue_same",
    "performance_issue_same_index",
    "performance_issue_unique",
    "performance_sample_count_override",
    "print_timestamps",
    "sample_concatenate_permutation",
    "use_token_latencies",
    "infer_token_latencies",
)
KEYS: dict[str, tuple[Key, ...]] = {
    **{name: (Key(name),) for name in PLAIN},
    "min_duration": (Key("min_duration_ms"),),
    "max_duration": (Key("max_duration_ms"),),
    "target_latency": (
        Key("single_stream_expected_latency_ns", 1e6, "SingleStream"),
        Key("multi_stream_expected_latency_ns", 1e6, "MultiStream"),
        Key("server_target_latency_ns", 1e6, "Server"),
    ),
    "target_latency_percentile": (
        Key("single_stream_target_latency_percentile", 0.01, "SingleStream"),
        Key("multi_stream_target_latency_percentile", 0.01, "MultiStream"),
        Key("server_target_latency_percentile", 0.01, "Server"),
    ),
    "target_qps": (
        Key("server_target_qps", 1, "Server"),
        Key("offline_expected_qps", 1, "Offline"),
    ),
    "samples_per_query": (Key("multi_stream_samples_per_query", 1, "MultiStream"),),
    "coalesce_queries": (Key("server_coalesce_queries", 1, "Server"),),
    "max_async_queries": (Key("server_max_async_queries", 1, "Server"),),
    "ttft_latency": (Key("ttft_latency", 1e6, "Server", "use_token_latencies"),),
    "tpot_latency": (Key("tpot_latency", 1e6, "Server", "use_token_latencies"),),
    "token_latency_scaling_factor": (
        Key("token_latency_scaling_factor", 1, None, "infer_token_latencies"),
    ),
    **{name: (Key(name, built_in=True),) for name in rules.SEEDS},
    "accuracy_log_probability": (Key("accuracy_log_probability", 0.01, built_in=True),),
    "test05": (Key("test05", built_in=True),),
}
# Accepted by old files and without effect.
OBSOLETE = {"target_duration"}
Lines = dict[tuple[str, str, str], float]


def read(settings: TestSettings, path: str, model: str, scenario: str, conf_type: int) -> int:
    """What ``TestSettings.FromConfig`` does."""
    if conf_type == 0:
        _apply(settings, dict(rules.lines()), model, scenario, True)
        return 0
    file = Path(path)
    if not file.is_file():
        logger.error("%s: there is no such file", path)
        return NO_FILE
    lines = _parsed(file)
    if conf_type == 1:
        if settings.__dict__.get("_configured"):
            logger.info("%s: a second config file is applied to the same settings", path)
        else:
            _apply(settings, dict(rules.lines()), model, scenario, True)
            settings.__dict__["_configured"] = True
    if lines is None:
        return MALFORMED
    _warn(lines, path, model, scenario)
    _apply(settings, lines, model, scenario, False)
    return 0


def _parsed(file: Path) -> Lines | None:
    lines: Lines = {}
    for number, text in enumerate(file.read_text().splitlines(), 1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{file}:{number}: {text.strip()!r}"
        parts = tuple(words[0].rsplit(".", 2))
        if len(words) < 3 and (len(words) < 2 or words[1] == "="):
            logger.warning("%s is ignored: expected 'model.scenario.key = number'", place)
            continue
        try:
            _, equals, value = words
            if equals != "=":
                raise ValueError
            amount = float(value) if "." in value or "e" in value.lower() else int(value)
            if amount < 0:
                raise ValueError
        except ValueError:
            logger.error("%s: expected 'model.scenario.key = number', at least 0", place)
            return None
        if len(parts) < 3:
            logger.warning("%s is ignored: expected 'model.scenario.key = number'", place)
            continue
        lines[parts[0], parts[1], parts[2]] = amount
    return lines


def _warn(lines: Lines, path: str, model: str, scenario: str) -> None:
    """Say what is likely a typing error: the official reader ignores it without a word."""
    for name, where, key in lines:
        line = f"{path}: {name}.{where}.{key}"
        if key not in KEYS and key not in OBSOLETE and key != "mode":
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            logger.warning("%s is ignored: there is no key %s%s", line, key, hint)
        elif key in KEYS and KEYS[key][0].built_in:
            logger.warning("%s is ignored: only the rules may set %s", line, key)
        if where not in (*SCENARIOS, "*"):
            logger.warning("%s is ignored: there is no scenario %s", line, where)
    if lines and not any(name in ("*", model) for name, _, _ in lines):
        logger.warning("%s: no line is for the model %s", path, model)
    if scenario not in SCENARIOS:
        logger.warning("FromConfig: there is no scenario %s", scenario)


def _apply(settings: TestSettings, lines: Lines, model: str, scenario: str, built_in: bool) -> None:
    def found(key: str, where: str) -> float | None:
        for place in ((model, where), ("*", where), (model, "*"), ("*", "*")):
            if (value := lines.get((*place, key))) is not None:
                return value
        return None

    mode = found("mode", scenario)
    if mode is not None:
        if mode in {member.value for member in TestMode}:
            settings.mode = TestMode(int(mode))
        else:
            logger.error("mode = %s: it must be 0, 1, 2 or 3", mode)
    for key, targets in KEYS.items():
        for target in targets:
            value = found(key, target.scenario or scenario)
            if value is None or (target.built_in and not built_in):
                continue
            if target.only_with and not getattr(settings, target.only_with):
                logger.warning("%s is ignored without %s", key, target.only_with)
                continue
            kind = type(getattr(TestSettings, target.setting))
            setattr(settings, target.setting, kind(value * target.factor))
