"""A toy pair of languages with a grammar: sentences and their true translations.

Source: ``the red lamps saw a cat near the dog .`` with invented words. The target language has
words of its own in the same order, but for three rules: the adjective follows its noun, the
article agrees with the noun's gender and number, and endings differ. Words with endings are two
subwords, joined as byte-pair encoding marks it (``lom@@ s``). Sentence ``i`` is the same on every
machine, whatever the number of sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from engine.datasets.drawing import Draws
from engine.datasets.sentences import JOINT

SPECIAL = ("<unk>", "<s>", "</s>")

NOUNS, VERBS, ADJECTIVES, PREPOSITIONS, ADVERBS = 20, 10, 8, 4, 4
MOST_PHRASES = 4

_STEMS = [a + b + c for b, a, c in product("aeiou", "bdfgklmnprstvz", "lmnrst")]


def _words(language: int, first: int, count: int) -> tuple[str, ...]:
    """``count`` stems that no other kind of word and neither language shares."""
    return tuple(_STEMS[(2 * (first + i) + language) * 37 % len(_STEMS)] for i in range(count))


@dataclass(frozen=True)
class Lexicon:
    """The words of a language; a word's number is the same in both."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]
    prepositions: tuple[str, ...]
    adverbs: tuple[str, ...]
    articles: tuple[str, ...]
    plural: str
    past: str

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Its subwords by number, as a vocabulary file lists them."""
        stems = [stem + JOINT for stem in (*self.nouns, *self.verbs)]
        words = self.nouns + self.verbs + self.adjectives + self.prepositions + self.adverbs
        return (*SPECIAL, ".", *self.articles, self.plural, self.past, *words, *stems)


def _lexicon(language: int, articles: tuple[str, ...], plural: str, past: str) -> Lexicon:
    counts = (NOUNS, VERBS, ADJECTIVES, PREPOSITIONS, ADVERBS)
    starts = [sum(counts[:kind]) for kind in range(len(counts))]
    nouns, verbs, adjectives, prepositions, adverbs = (
        _words(language, first, n) for first, n in zip(starts, counts, strict=True)
    )
    return Lexicon(nouns, verbs, adjectives, prepositions, adverbs, articles, plural, past)


SOURCE = _lexicon(0, ("the", "a"), "s", "ed")
TARGET = _lexicon(1, ("der", "die", "ein", "eine", "den"), "en", "te")


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation in subwords; ``aligned``: for each one of the translation the
    place in the source that it comes from."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    aligned: tuple[int, ...]


def pair(split: str, index: int, seed: int = 0) -> Pair:
    """A sentence of that split, and its translation."""
    draws = Draws(split, index, seed)
    parts = [_noun_phrase(draws), _verb(draws), _noun_phrase(draws)]
    for _ in range(draws.below(MOST_PHRASES)):
        parts += [_same(draws, "prepositions"), _noun_phrase(draws)]
    if draws.below(2):
        parts.append(_same(draws, "adverbs"))
    parts.append(Pair((".",), (".",), (0,)))
    return _joined(parts)


def _joined(parts: list[Pair]) -> Pair:
    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    aligned: tuple[int, ...] = ()
    for part in parts:
        aligned += tuple(len(source) + place for place in part.aligned)
        source, target = source + part.source, target + part.target
    return Pair(source, target, aligned)


def _same(draws: Draws, kind: str) -> Pair:
    """A word that stays as it is."""
    words, translations = getattr(SOURCE, kind), getattr(TARGET, kind)
    number = draws.below(len(words))
    return Pair((words[number],), (translations[number],), (0,))


def _verb(draws: Draws) -> Pair:
    number, past = draws.below(VERBS), draws.below(2)
    if not past:
        return Pair((SOURCE.verbs[number],), (TARGET.verbs[number],), (0,))
    source = (SOURCE.verbs[number] + JOINT, SOURCE.past)
    return Pair(source, (TARGET.verbs[number] + JOINT, TARGET.past), (0, 1))


def _noun_phrase(draws: Draws) -> Pair:
    number, plural, definite = draws.below(NOUNS), draws.below(3) == 0, draws.below(2)
    adjective = draws.below(ADJECTIVES) if draws.below(2) else None
    gender = number % 2
    article = SOURCE.articles[0 if plural or definite else 1]
    agreeing = TARGET.articles[4 if plural else gender if definite else 2 + gender]
    noun, translated = _declined(SOURCE, number, plural), _declined(TARGET, number, plural)
    if adjective is None:
        return Pair((article, *noun), (agreeing, *translated), tuple(range(1 + len(noun))))
    source = (article, SOURCE.adjectives[adjective], *noun)
    target = (agreeing, *translated, TARGET.adjectives[adjective])
    return Pair(source, target, (0, *range(2, 2 + len(noun)), 1))


def _declined(lexicon: Lexicon, number: int, plural: bool) -> tuple[str, ...]:
    noun = lexicon.nouns[number]
    return (noun + JOINT, lexicon.plural) if plural else (noun,)
