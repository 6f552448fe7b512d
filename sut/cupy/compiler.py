"""A process that compiles plans of cuDNN's: ``python -m sut.cupy.compiler DEVICE``.

Reads a problem and a plan's name, or null, as one line of JSON each, and answers with a line: what
was compiled by the names of plans, in base64. Ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from base64 import b64encode
from typing import Any

from sut.cupy.convolution import CANDIDATES, Graph, Problem
from sut.cupy.needs import modules


def main(device: int) -> None:
    """Raises whatever keeps it from compiling for ``device``."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        cp, cudnn = modules([device])
        cp.cuda.Device(device).use()
        handle = cudnn.create_handle()
        for line in sys.stdin:
            given, name = json.loads(line)
            found = _compiled(cudnn, handle, _problem(given), name)
            answers.write(json.dumps({x: b64encode(plan).decode() for x, plan in found.items()}))
            answers.write("\n")
            answers.flush()


def _problem(given: dict[str, Any]) -> Problem:
    """JSON has lists for tuples."""
    own: dict[str, Any] = {}
    for key, value in given.items():
        own[key] = tuple(value) if isinstance(value, list) else value
    return Problem(**own)


def _compiled(cudnn: Any, handle: Any, problem: Problem, name: str | None) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with contextlib.suppress(Exception):  # whoever asks finds out by itself
        plans = Graph(cudnn, handle, problem).plans()
        for plan in [x for x in plans if x.name == name] or plans[:CANDIDATES]:
            with contextlib.suppress(Exception):
                found[plan.name] = plan.compiled()
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]))
