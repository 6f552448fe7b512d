"""What an accuracy script wrote of a system's quality, and the quality the rules ask for."""

from __future__ import annotations

import re

from engine.config import Rules

# The scripts' lines; a percentage, or translation's BLEU.
PATTERNS = (
    r"^accuracy=\s*([\d.]+)\s*%",
    r"^mAP=\s*([\d.]+)\s*%",
    r"^BLEU:\s*([\d.]+)",
    r'"f1":\s*([\d.]+)',
    r"^AUC=\s*([\d.]+)\s*%",
    r"Word Error Rate:.*accuracy=\s*([\d.]+)\s*%",
)


def quality_in(text: str) -> float | None:
    """The quality that an accuracy.txt states, None if it states none."""
    for pattern in PATTERNS:
        if found := re.search(pattern, text, re.MULTILINE):
            try:
                return float(found[1])
            except ValueError:  # several points
                return None
    return None


def required_quality(rules: Rules, model: str) -> float | None:
    """The least quality under the rules, None where they do not say it in figures."""
    if (published := rules.published_targets.get(model)) is not None:
        return published
    fp32 = rules.fp32_quality.get(model)
    ratio = rules.quality_ratios.get(model, rules.quality_ratio)
    return None if fp32 is None else ratio * fp32
