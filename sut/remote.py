"""A model served elsewhere, by any server of the Open Inference Protocol over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3
from numpy.typing import NDArray

from sut import oip
from sut.network import NetworkSut

Inputs = Sequence[tuple[str, str, tuple[int | None, ...]]]


class RemoteSut(NetworkSut):
    """Send batches to a server, one request at a time from each worker.

    Latency includes the network and the server's own queue. ``inputs``: name, dtype and shape of
    the samples' arrays; they are sent under the served model's names. ``output``: the output
    that is the response, if the model has one of that name; one that has a single output needs
    none. ``binary``: tensors as bytes instead of JSON; None where the server says that it can.
    ``headers`` go with each request. For ``max_batch`` and ``max_wait_us`` see ``NetworkSut``.

    Raises RuntimeError with its reason if the server cannot be reached, has no such model, or
    its model takes other samples. A request that fails while samples are served raises it too.
    """

    def __init__(
        self,
        url: str,
        model: str,
        inputs: Inputs,
        output: str | None,
        *,
        name: str = "remote",
        version: str | None = None,
        workers: int = 1,
        max_batch: int = 1,
        max_wait_us: float = 0.0,
        timeout_s: float = 60.0,
        binary: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        server = Server(url, workers, timeout_s, headers or {})
        path = f"/v2/models/{quote(model, safe='')}" + (f"/versions/{version}" if version else "")
        able = server.get("/v2").get("extensions", [])
        metadata = server.get(path)
        try:
            served = oip.tensors(metadata, "inputs")
            names = oip.matched(served, inputs)
            answer = _output(oip.tensors(metadata, "outputs"), output)
            batch = served[0].shape[0]
        except ValueError as error:
            raise RuntimeError(f"{server.url} serves {model}, but {error}.") from error
        self.binary = oip.BINARY in able if binary is None else binary

        def infer(arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
            named = dict(zip(names, arrays, strict=True))
            return server.infer(f"{path}/infer", named, answer, self.binary)

        super().__init__(
            [infer] * workers,
            batch if batch > 0 else None,
            name=name,
            threads=1,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
        )


def _output(served: Sequence[oip.Tensor], wanted: str | None) -> str:
    names = [tensor.name for tensor in served]
    if wanted in names:
        return wanted
    if len(names) != 1:
        raise ValueError(f"it has no output {wanted}: it has {', '.join(names)}")
    return names[0]


class Server:
    """An HTTP server, and as many connections to it as there are requests at once.

    All methods may be called from many threads. A request is made once: a second one would
    count as the first one's latency.
    """

    def __init__(
        self, url: str, connections: int, timeout_s: float, headers: Mapping[str, str]
    ) -> None:
        parsed = urllib3.util.parse_url(url)
        self.url = parsed._replace(auth=None).url
        self._root = (parsed.path or "").rstrip("/")
        own = dict(headers)
        if parsed.auth and "Authorization" not in own:  # a token goes before a password
            own |= urllib3.util.make_headers(basic_auth=parsed.auth)
        kind = (
            urllib3.HTTPSConnectionPool if parsed.scheme == "https" else urllib3.HTTPConnectionPool
        )
        self._pool = kind(
            parsed.host or "",
            parsed.port,
            timeout=urllib3.Timeout(timeout_s),
            maxsize=connections,
            retries=False,
            headers=own,
        )

    def get(self, path: str) -> dict[str, Any]:
        """A JSON object; RuntimeError if there is none."""
        body, _ = self._request("GET", path, None, {})
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RuntimeError(f"{self.url}{path} answers no JSON object: is it such a server?")
        return found

    def infer(
        self, path: str, inputs: Mapping[str, NDArray[np.generic]], output: str, binary: bool
    ) -> NDArray[np.generic]:
        """The output of one inference, as the server answers it; RuntimeError if it does not."""
        parts, headers = oip.request(inputs, output, binary)
        body, length = self._request("POST", path, b"".join(parts), headers)
        try:
            found = oip.response(body, length, output)
            count = len(next(iter(inputs.values())))
            if found.shape[:1] != (count,):
                raise ValueError(f"{output} has shape {found.shape} for {count} samples")
        except (KeyError, TypeError, ValueError) as error:
            raise RuntimeError(f"{self.url}{path} answers what is no response: {error}") from error
        return found

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[bytes, str | None]:
        try:
            answer = self._pool.request(
                method, self._root + path, body=body, headers={**self._pool.headers, **headers}
            )
        except urllib3.exceptions.HTTPError as error:
            raise RuntimeError(f"{self.url} cannot be reached: {error}") from error
        if answer.status != 200:
            said = answer.data[:300].decode(errors="replace")
            raise RuntimeError(f"{self.url}{path} answers {answer.status}: {said}")
        return answer.data, answer.headers.get(oip.JSON_LENGTH)
