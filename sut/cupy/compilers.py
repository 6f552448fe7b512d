"""Plans of cuDNN's, compiled by several processes: in one, the frontend's calls take turns."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from base64 import b64decode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import Empty, SimpleQueue
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import psutil

from sut.cupy.convolution import Problem

MOST = 8
"""Processes: each takes seconds to start, and compiles anew what another has for a like problem."""
SHARE = 4
"""Problems that each is to have, at least: fewer are compiled sooner than it has started."""
PROCESS_BYTES = 1 << 30
"""Of the device's memory, and of the host's, that are to be free for each."""
ROOM_BYTES = 4 << 30
"""Of the device's memory, for what is timed while they wait."""

Wanted = tuple[Problem, str | None]
"""A problem and the name of its plan, or None for its ``CANDIDATES``."""
Compiled = dict[tuple[Problem, str], bytes]
"""By problem and the plan's name."""


class Compilers:
    """Processes that compile for the device in use; started when first needed, until ``close``."""

    def __init__(self, cp: Any) -> None:
        self._device = cp.cuda.Device()
        self._processes: list[Popen[str]] = []

    def compile(self, wanted: Sequence[Wanted]) -> Compiled:
        """What cuDNN compiled. For a plan that it does not offer, the ``CANDIDATES`` in its place.

        Without those that it cannot compile or write, and empty where one process would do it all,
        or none can be started: a device may be kept for one process.
        """
        if not self._processes:
            self._start(min(self._most(), len(wanted) // SHARE))
        left: SimpleQueue[Wanted] = SimpleQueue()
        for one in wanted:
            left.put(one)

        def served(process: Popen[str]) -> Compiled:
            made: Compiled = {}
            with contextlib.suppress(Empty):
                while (plans := _asked(process, *(one := left.get_nowait()))) is not None:
                    made |= {(one[0], name): plan for name, plan in plans.items()}
            return made

        found: Compiled = {}
        if self._processes:
            with ThreadPoolExecutor(len(self._processes)) as threads, self._ended_if_interrupted():
                for made in threads.map(served, self._processes):
                    found |= made
        return found

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            with contextlib.suppress(OSError), process:  # waits, and closes the pipes
                pass

    @contextlib.contextmanager
    def _ended_if_interrupted(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()  # so that no thread waits for an answer
            raise

    def _most(self) -> int:
        free = int(self._device.mem_info[0]) - ROOM_BYTES
        bytes_ = min(free, psutil.virtual_memory().available)
        return min(MOST, len(psutil.Process().cpu_affinity()), bytes_ // PROCESS_BYTES)

    def _start(self, count: int) -> None:
        """In a group of their own: who is interrupted is the one that waits."""
        command = [sys.executable, "-P", "-m", "sut.cupy.compiler", str(self._device.id)]
        own = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        pipes: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": DEVNULL}
        with contextlib.suppress(OSError):  # no more of them than there is room for
            for _ in range(count if count > 1 else 0):
                self._processes.append(Popen(command, env=own, text=True, process_group=0, **pipes))


def _asked(process: Popen[str], problem: Problem, name: str | None) -> dict[str, bytes] | None:
    """None if the process has ended."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps([asdict(problem), name]) + "\n")
        process.stdin.flush()
        answer: dict[str, str] = json.loads(process.stdout.readline())
        return {plan: b64decode(compiled) for plan, compiled in answer.items()}
    return None
