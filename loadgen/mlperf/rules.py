"""The rules' own settings for each model: the state of round v6.1, as ``model.scenario.key``."""

from __future__ import annotations

from collections.abc import Iterator

SEEDS = {
    "qsl_rng_seed": 2085463073848966840,
    "sample_index_rng_seed": 2747215439041700203,
    "schedule_rng_seed": 16159082839903944936,
    "test05_qsl_rng_seed": 7975553102935885558,
    "test05_sample_index_rng_seed": 11403566307062068064,
    "test05_schedule_rng_seed": 15816800565822761601,
}
# Times in ms, percentiles in percent.
COMMON = {
    "SingleStream": {"target_latency_percentile": 90, "target_latency": 10},
    "MultiStream": {
        "target_latency_percentile": 99,
        "target_latency": 80,
        "samples_per_query": 8,
        "min_query_count": 662,
    },
    "Server": {"target_latency_percentile": 99, "target_latency": 10, "target_qps": 1},
    "Offline": {"target_qps": 1},
}
MIN_DURATION_MS = 600_000

PERFORMANCE_SAMPLES = {
    "resnet50": 1024,
    "ssd-mobilenet": 256,
    "retinanet": 64,
    "bert": 10833,
    "dlrm": 204800,
    "dlrm-v2": 204800,
    "rnnt": 2513,
    "gptj": 13368,
    "mixtral-8x7b": 15000,
    "llama2-70b": 24576,
    "llama2-70b-interactive": 24576,
    "llama3_1-405b": 8313,
    "llama3_1-405b-interactive": 8313,
    "llama3_1-8b": 13368,
    "llama3_1-8b-edge": 5000,
    "llama3_1-8b-interactive": 13368,
    "stable-diffusion-xl": 5000,
    "wan-2.2-t2v-a14b": 248,
    "rgat": 788379,
    "pointpainting": 1024,
    "deepseek-r1": 4388,
    "deepseek-r1-interactive": 4388,
    "whisper": 1633,
    "qwen3-vl-235b-a22b": 48289,
    "yolo": 64,
    "gpt-oss-120b": 6396,
    "gpt-oss-120b-interactive": 6396,
}
ACCURACY_SAMPLES = {"gpt-oss-120b": 4395, "gpt-oss-120b-interactive": 4395}
OFFLINE_SAMPLES = {
    "resnet50": 24576,
    "retinanet": 24576,
    "dlrm-v2": 24576,
    "bert": 10833,
    "gptj": 13368,
    "rnnt": 2513,
    "3d-unet": 43,
    "stable-diffusion-xl": 5000,
    "wan-2.2-t2v-a14b": 248,
    "llama2-70b": 24576,
    "llama3_1-405b": 8313,
    "llama3_1-8b": 13368,
    "llama3_1-8b-edge": 5000,
    "mixtral-8x7b": 15000,
    "rgat": 788379,
    "deepseek-r1": 4388,
    "whisper": 1633,
    "qwen3-vl-235b-a22b": 48289,
}
SERVER_BOUND_MS = {
    "resnet50": 15,
    "retinanet": 100,
    "bert": 130,
    "dlrm": 60,
    "dlrm-v2": 60,
    "dlrm-v3": 80,
    "rnnt": 1000,
    "gptj": 20000,
    "stable-diffusion-xl": 20000,
    "qwen3-vl-235b-a22b": 12000,
}
# Time to first token and time per output token, which replace the latency bound.
TOKEN_BOUNDS_MS = {
    "llama2-70b": (2000, 200),
    "llama2-70b-interactive": (450, 40),
    "mixtral-8x7b": (2000, 200),
    "llama3_1-405b": (6000, 175),
    "llama3_1-405b-interactive": (4500, 80),
    "llama3_1-8b": (2000, 100),
    "llama3_1-8b-interactive": (500, 30),
    "deepseek-r1": (2000, 80),
    "deepseek-r1-interactive": (1500, 15),
    "gpt-oss-120b": (3000, 80),
    "gpt-oss-120b-interactive": (2000, 15),
}
COUNTS_TOKENS = {*TOKEN_BOUNDS_MS, "llama3_1-8b-edge", "whisper"}
EQUAL_ISSUE = {*COUNTS_TOKENS, "3d-unet", "rgat", "gptj", "qwen3-vl-235b-a22b"}

Line = tuple[tuple[str, str, str], float]


def lines() -> Iterator[Line]:
    """Every rule as ((model, scenario, key), value), "*" for any."""
    for key, seed in SEEDS.items():
        yield ("*", "*", key), seed
    for scenario, values in COMMON.items():
        yield ("*", scenario, "min_duration"), MIN_DURATION_MS
        for key, value in values.items():
            yield ("*", scenario, key), value
    yield ("pointpainting", "SingleStream", "target_latency_percentile"), 99.9
    yield ("retinanet", "MultiStream", "target_latency"), 528
    yield from _each("*", "performance_sample_count_override", PERFORMANCE_SAMPLES)
    yield from _each("*", "accuracy_sample_count_override", ACCURACY_SAMPLES)
    yield from _each("Offline", "min_query_count", OFFLINE_SAMPLES)
    yield from _each("Server", "target_latency", SERVER_BOUND_MS)
    yield from _each("*", "sample_concatenate_permutation", dict.fromkeys(EQUAL_ISSUE, 1))
    yield from _each("*", "use_token_latencies", dict.fromkeys(COUNTS_TOKENS, 1))
    for model, (first_ms, each_ms) in TOKEN_BOUNDS_MS.items():
        yield (model, "Server", "target_latency"), 0
        yield (model, "Server", "ttft_latency"), first_ms
        yield (model, "Server", "tpot_latency"), each_ms
    yield ("gptj", "*", "infer_token_latencies"), 1
    yield ("gptj", "*", "token_latency_scaling_factor"), 69


def _each(scenario: str, key: str, values: dict[str, int]) -> Iterator[Line]:
    return (((model, scenario, key), value) for model, value in values.items())
