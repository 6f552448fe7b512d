"""BLEU of a translated text, computed by sacreBLEU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evaluators.quality import Quality, answered_once, refuse

LANGUAGE = "de"


def bleu(
    responses: Sequence[NDArray[np.generic] | None],
    references: Sequence[str],
    sample_ids: Sequence[int] | None = None,
) -> Quality:
    """Corpus BLEU (Post, arXiv:1804.08771), its 13a tokens, case counted.

    ``responses``: a translation each, in the encoding of the suite's accuracy logs: the bytes of
    UTF-8 text (uint8 [k]), subwords joined, words and punctuation apart. ``references``: plain
    text, one each. ``sample_ids``: the references that the responses belong to, in case they are
    not all of them in order. The translations are made plain text before they are compared.

    Raises ValueError for responses that are missing, repeated or no such text, naming them.
    """
    ids = answered_once(len(responses), sample_ids, len(references), "sentences")
    refuse((sample, _problem(response)) for sample, response in zip(ids, responses, strict=True))
    texts = [_plain(_text(response)) for response in responses if response is not None]
    return _scored(texts, [references[sample] for sample in ids])


def _problem(response: NDArray[np.generic] | None) -> str | None:
    if response is None:
        return "are missing"
    if np.asarray(response).dtype != np.uint8:
        return f"are no bytes of text ({np.asarray(response).dtype})"
    try:
        _text(response)
    except UnicodeDecodeError:
        return "are no UTF-8 text"
    return None


def _text(response: NDArray[np.generic]) -> str:
    return np.asarray(response).tobytes().decode()


def _plain(text: str) -> str:
    return str(_detokeniser().detokenize(text.split()))


@cache
def _detokeniser():  # type: ignore[no-untyped-def]
    from sacremoses import MosesDetokenizer

    return MosesDetokenizer(lang=LANGUAGE)


def _scored(texts: list[str], references: list[str]) -> Quality:
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize="13a")
    found = metric.corpus_score(texts, [references])
    signature = str(metric.get_signature())
    return Quality(
        metric="bleu",
        name="BLEU",
        value=float(found.score),
        unit="points",
        count=len(texts),
        details={
            **{f"precision_{n}_percent": p for n, p in enumerate(found.precisions, 1)},
            "brevity_penalty": float(found.bp),
        },
        note=f"{len(texts):,} sentences; {signature}",
    )
