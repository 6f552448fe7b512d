"""BLEU against a count by hand, sacreBLEU's own command, and answers that cannot be scored."""

import numpy as np
import pytest
import sacrebleu

from evaluators.bleu import bleu

REFERENCES = (
    "Der Hund sieht die Katze nicht.",
    "Sie sagte: „Das ist gut“, und ging nach Hause.",
    "Zwei rote Lampen stehen neben der alten Tür.",
)


def encoded(*texts):
    return [np.frombuffer(text.encode(), np.uint8) for text in texts]


def test_equal_text_is_perfect_once_it_is_plain():
    """Tokens apart, as the network says them; the references are plain text."""
    said = encoded(
        "Der Hund sieht die Katze nicht .",
        "Sie sagte : „ Das ist gut “ , und ging nach Hause .",
        "Zwei rote Lampen stehen neben der alten Tür .",
    )
    assert bleu(said, REFERENCES).value == pytest.approx(100)


def test_it_is_counted_by_hand():
    """Four of five words, three of four pairs, two of three triples, one of two quadruples."""
    found = bleu(encoded("a b c d e"), ("a b c d f",))
    assert found.value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert found.details["precision_1_percent"] == pytest.approx(80)
    assert "tok:13a" in found.note


def test_it_agrees_with_sacrebleu():
    texts = ["Der Hund sah die Katze nicht.", "Das ist gut.", "Rote Lampen neben der Tür."]
    expected = sacrebleu.corpus_bleu(texts, [list(REFERENCES)]).score
    assert 0 < expected < 60
    assert bleu(encoded(*texts), REFERENCES).value == pytest.approx(expected)


def test_short_translations_are_penalised():
    found = bleu(encoded("a b c d"), ("a b c d e f g h",))
    assert found.details["brevity_penalty"] == pytest.approx(np.exp(1 - 8 / 4))


def test_responses_may_come_in_any_order():
    answers = encoded(*reversed(REFERENCES))
    assert bleu(answers, REFERENCES, [2, 1, 0]).value == pytest.approx(100)


@pytest.mark.parametrize(
    ("responses", "ids", "words"),
    [
        ([*encoded("a", "b"), None], None, "1 responses are missing: samples 2"),
        (encoded("a", "b"), None, "2 responses for 3"),
        (encoded("a", "b", "c"), [0, 1, 1], "answered once"),
        ([*encoded("a", "b"), np.array([np.nan])], None, "no bytes of text .*samples 2"),
        ([*encoded("a", "b"), np.array([255], np.uint8)], None, "no UTF-8 text: samples 2"),
        ([], [], "nothing to score"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(responses, ids, words):
    with pytest.raises(ValueError, match=words):
        bleu(responses, REFERENCES, ids)
