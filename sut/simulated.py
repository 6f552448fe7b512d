"""A system with a known service time, in virtual time: an hour of a fleet takes milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loadgen import LoadedSet, Queries
from sut._fleet import Fleet
from sut.curve import ServiceCurve
from sut.tokens import longest, token_counts

if TYPE_CHECKING:
    from sut._fleet import Chances


@dataclass(frozen=True)
class Fortune:
    """What befalls a batch by chance.

    ``spread``: sigma of a lognormal factor on the service time, whose mean is 1.
    ``stall_share``, ``stall_ms``: the share of batches that take so much longer.
    ``fail_share``, ``lose_share``: the share that fails, or is never answered.
    ``drift``, ``drift_period_s``: the service time swings by this share in such a period.
    """

    spread: float = 0.0
    stall_share: float = 0.0
    stall_ms: float = 0.0
    fail_share: float = 0.0
    lose_share: float = 0.0
    drift: float = 0.0
    drift_period_s: float = 60.0
    seed: int = 0


class SimulatedSut:
    """``workers`` that take batches of up to ``max_batch`` and serve them as ``curve`` says.

    A batch may wait ``max_wait_us`` to fill; ``network_ms`` is the way there and back.
    ``answer_tokens``: answers come token by token, of one of these numbers of tokens, each as
    likely. ``curve`` then says when the first tokens of a batch are there, and ``token_curve`` how
    long each further one takes; a worker takes the next batch after the longest answer.
    """

    def __init__(
        self,
        curve: ServiceCurve,
        *,
        name: str = "simulated",
        workers: int = 1,
        max_batch: int = 1,
        max_wait_us: float = 0.0,
        network_ms: float = 0.0,
        fortune: Fortune | None = None,
        answer_tokens: Sequence[int] | None = None,
        token_curve: ServiceCurve | None = None,
    ) -> None:
        self.name, self.workers, self.max_batch = name, workers, max_batch
        self.curve, self.fortune = curve, fortune or Fortune()
        self._rng = np.random.default_rng(self.fortune.seed)
        self._elapsed_ns = 0
        self._queries: Queries | None = None
        self.service_ms = curve.service_ns(max_batch) / 1e6
        tokens = token_ns = None
        if answer_tokens is not None and token_curve is not None:
            tokens = token_counts(answer_tokens, self.fortune.seed)
            token_ns = token_curve.service_ns(max_batch)
            further = longest(answer_tokens, np.arange(1, max_batch + 1)) - 1
            self.service_ms = self.service_ms + further * token_ns / 1e6
        self._fleet = Fleet(
            curve.service_ns(max_batch),
            self._chances,
            workers,
            int(max_wait_us * 1e3),
            int(network_ms * 1e6),
            self.fortune.drift,
            int(self.fortune.drift_period_s * 1e9),
            tokens,
            token_ns,
            curve.pace(max_batch, workers, self._rng),
        )

    @property
    def capacity_qps(self) -> float:
        """Samples per second at the best batch, always busy and without misfortune."""
        sizes = np.arange(1, self.max_batch + 1)
        return float((sizes / self.service_ms).max()) * 1000 * self.workers

    def load(self, samples: LoadedSet) -> None:
        """Nothing to get ready."""

    def unload(self) -> None:
        """Nothing to let go of."""

    def advance(self, queries: Queries, until_ns: int) -> None:
        """Serve on the virtual clock until ``until_ns``.

        A new run finds all workers idle; their drift goes on where the last one ended.
        """
        if queries is not self._queries:
            self._fleet.reset(self._elapsed_ns)
            self._queries = queries
        self._fleet.advance(queries, until_ns)
        self._elapsed_ns = queries.elapsed_ns

    def _chances(self, count: int) -> Chances:
        own, rng = self.fortune, self._rng
        factors = np.ones(count)
        traced = self.curve.trace is not None
        if spread := math.hypot(own.spread, 0.0 if traced else self.curve.spread):
            factors = rng.lognormal(-(spread**2) / 2, spread, count)
        stalls = rng.random(count) < own.stall_share
        fate = rng.random(count)
        failed = np.where(fate < own.fail_share, 1, 0)
        lost = fate >= 1 - own.lose_share
        return (
            factors,
            (stalls * int(own.stall_ms * 1e6)).astype(np.int64),
            np.where(lost, 2, failed).astype(np.uint8),
        )
