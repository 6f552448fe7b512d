"""A served model measured from the command line: the network here, behind a server."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

SMALL = ("model=mobilenet", "precision=fp32", "scenario=single_stream", "sut=remote")


@contextmanager
def classifying(seen):
    """Answers each image with class 7."""
    tensor = {"datatype": "FP32", "shape": [-1, 3, 224, 224]}
    metadata = {
        "inputs": [tensor | {"name": "input"}],
        "outputs": [{"name": "classes", "datatype": "INT64", "shape": [-1]}],
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments):
            pass

        def answer(self, found):
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer({"extensions": ["binary_tensor_data"]} if self.path == "/v2" else metadata)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = json.loads(body[: int(self.headers["Inference-Header-Content-Length"])])
            count = head["inputs"][0]["shape"][0]
            seen.append((self.headers.get("Authorization"), count))
            output = {"name": "classes", "datatype": "INT64", "shape": [count]}
            self.answer({"outputs": [output | {"data": np.full(count, 7).tolist()}]})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_served_model_is_measured_and_scored(engine, monkeypatch):
    monkeypatch.setenv("SERVER_TOKEN", "s3cret")
    seen = []
    with classifying(seen) as url:
        address = url.replace("://", "://me:hidden@")
        asked = (f"sut.url={address!r}", "sut.token_variable=SERVER_TOKEN")
        ended = engine(*SMALL, *asked, "mode=both", "sut.workers=1")
    record = ended.record
    assert record["performance"]["valid"], ended.out + ended.err
    # Not one answer in eight is right, so the quality is missed and said.
    assert (ended.code, record["verdict"]) == (2, "INVALID")
    assert record["accuracy"]["quality"]["count"] == 8
    assert {token for token, _ in seen} == {"Bearer s3cret"}
    written = "".join(f.read_text(errors="replace") for f in ended.folder.rglob("*.json"))
    assert "s3cret" not in written + ended.out + ended.err
    assert "hidden" not in written + ended.out + ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 3, "set sut.url=http://HOST:PORT"),
        (("sut.url=http://127.0.0.1:9",), 4, "127.0.0.1:9 cannot be reached"),
        (("sut.url=x", "sut.token_variable=NOWHERE"), 3, "sut.token_variable=NOWHERE"),
    ],
)
def test_a_mistake_ends_with_one_message(engine, arguments, code, said):
    ended = engine(*SMALL, *arguments)
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err
