"""A server of the Open Inference Protocol on this machine, which doubles numbers."""

import json
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from loadgen import Ending, Mode, Scenario, Settings, judge, run
from sut import oip
from sut.remote import RemoteSut, Server

ONE = np.ones((1, 1), np.float32)
OWN = [("x", "float32", (None, 1))]


@dataclass
class Model:
    """What the server says and does; ``broken`` answers instead of the model."""

    inputs: list = field(default_factory=lambda: [tensor("x", "FP32", [-1, 1])])
    outputs: list = field(default_factory=lambda: [tensor("y", "FP32", [-1, 1])])
    extensions: tuple = (oip.BINARY,)
    broken: object = None
    requests: list = field(default_factory=list)
    connections: set = field(default_factory=set)

    def infer(self, head, raw):
        (given,) = head["inputs"]
        if "data" in given:
            x = np.array(given["data"], np.float32).reshape(given["shape"])
        else:
            x = np.frombuffer(raw, "<f4").reshape(given["shape"])
        y = {"name": self.outputs[-1]["name"], "datatype": "FP32", "shape": list(x.shape)}
        if "data" in given:
            return {"outputs": [y | {"data": (2 * x).ravel().tolist()}]}, b""
        data = (2 * x).tobytes()
        before = {"name": "other", "datatype": "INT8", "shape": [3]}
        before["parameters"] = {"binary_data_size": 3}
        return {"outputs": [before, y | {"parameters": {"binary_data_size": len(data)}}]}, (
            b"\1\2\3" + data
        )


def tensor(name, datatype, shape):
    return {"name": name, "datatype": datatype, "shape": shape}


@pytest.fixture
def serves(serving):
    """``with serves(model) as url``: the model behind a server."""

    def start(model):
        metadata = {"inputs": model.inputs, "outputs": model.outputs}
        pages = {
            "/v2": {"name": "numbers", "version": "1", "extensions": model.extensions},
            "/v2/models/double": metadata,
            "/v2/models/double/versions/2": metadata,
            "/v2/models/list": [],
        }

        def get(path):
            if path not in pages:
                return 404, b'{"error": "no such model"}', {}
            return 200, json.dumps(pages[path]).encode(), {}

        def post(path, headers, body):
            model.connections.add(headers["Client"])
            model.requests.append((path, dict(headers)))
            if model.broken is not None:
                return model.broken
            length = int(headers.get(oip.JSON_LENGTH, len(body)))
            head, raw = model.infer(json.loads(body[:length]), body[length:])
            said = json.dumps(head).encode()
            return 200, said + raw, {oip.JSON_LENGTH: str(len(said))} if raw else {}

        return serving(get, post)

    return start


def measured(library, sut, **changes):
    settings = {"min_query_count": 50, "min_duration_ms": 0, "confidence": None, **changes}
    return run(Settings(scenario=Scenario.SINGLE_STREAM, **settings), library, sut)


@pytest.mark.parametrize("extensions", [(), (oip.BINARY,)])
def test_answers_come_back_as_the_server_gave_them(library, extensions, serves):
    model = Model(extensions=extensions)
    with serves(model) as url:
        sut = RemoteSut(url, "double", OWN, None)
        log = run(
            Settings(scenario=Scenario.OFFLINE, mode=Mode.ACCURACY, target_qps=1), library, sut
        )
    assert sut.binary == bool(extensions)
    assert log.ending is Ending.COMPLETE
    answers = dict(
        zip(log.sample_index.tolist(), (float(y[0]) for y in log.responses), strict=True)
    )
    assert answers == {i: 2.0 * i for i in range(library.total_count)}


def test_workers_have_connections_that_stay(library, serves):
    model = Model()
    with serves(model) as url:
        sut = RemoteSut(url, "double", OWN, "y", workers=3, version="2", headers={"X-Key": "k"})
        settings = Settings(
            scenario=Scenario.SERVER, target_qps=400, bound_ms=1000, min_duration_ms=300
        )
        log = run(settings, library, sut)
    assert judge(log).statistics.query_count > 50
    assert len(model.connections) <= 3 < len(model.requests)
    assert {path for path, _ in model.requests} == {"/v2/models/double/versions/2/infer"}
    assert {headers["X-Key"] for _, headers in model.requests} == {"k"}


def test_names_may_differ_and_a_fixed_batch_is_kept(library, serves):
    model = Model(inputs=[tensor("image", "FP32", [4, 1])], outputs=[tensor("z", "FP32", [4, 1])])
    with serves(model) as url:
        sut = RemoteSut(url, "double", OWN, "y", max_batch=64)
        assert (sut.fixed_batch, sut.max_batch) == (4, 4)
        assert measured(library, sut).ending is Ending.COMPLETE


@pytest.mark.parametrize(
    ("model", "name", "said"),
    [
        (Model(), "treble", "answers 404: .*no such model"),
        (Model(), "list", "answers no JSON object"),
        (Model(inputs=[tensor("x", "FP32", [-1, 3])]), "double", r"takes x float32\[-1, 3\], but"),
        (Model(inputs=[tensor("x", "INT8", [-1, 1])]), "double", r"takes x int8.* are x float32"),
        (Model(inputs=[{"name": "x"}]), "double", "metadata has no usable inputs"),
        (
            Model(outputs=[tensor("a", "FP32", [1]), tensor("b", "FP32", [1])]),
            "double",
            "no output classes: it has a, b",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_the_start(model, name, said, serves):
    with serves(model) as url, pytest.raises(RuntimeError, match=said):
        RemoteSut(url, name, OWN, "classes")


def test_nobody_there(serves):
    with serves(Model()) as url:
        pass
    with pytest.raises(RuntimeError, match="cannot be reached"):
        RemoteSut(url, "double", OWN, None)


def test_a_password_in_the_address_is_sent_and_not_shown(serves):
    model = Model()
    with serves(model) as url:
        address = url.replace("://", "://me:s3cret@")
        RemoteSut(address, "double", OWN, None)._lanes[0]._infer([ONE])
        with pytest.raises(RuntimeError) as caught:
            RemoteSut(address, "treble", OWN, None)
    assert model.requests[0][1]["authorization"] == "Basic bWU6czNjcmV0"
    assert "s3cret" not in str(caught.value)


GOOD = json.dumps({"outputs": [tensor("y", "FP32", [1, 1]) | {"data": [2.0]}]}).encode()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ((500, b"out of memory", {}), "answers 500: out of memory"),
        ((200, b"garbage", {}), "no response"),
        ((200, b'{"outputs": []}', {}), "no output y"),
        ((200, GOOD.replace(b"[1, 1]", b"[2, 1]"), {}), "no response"),
        ((200, GOOD.replace(b"[1, 1]", b"[1]").replace(b"[2.0]", b"[]"), {}), "no response"),
        ((200, GOOD.replace(b"FP32", b"BYTES"), {}), "type BYTES is not read"),
        ((200, GOOD, {oip.JSON_LENGTH: "7"}), "no response"),
    ],
)
def test_a_request_that_fails_ends_the_run_with_its_reason(library, broken, said, serves):
    model = Model()
    with serves(model) as url:
        sut = RemoteSut(url, "double", OWN, "y", timeout_s=5)
        sut.load(library.load(np.arange(64)))  # while all is well
        sut.load = lambda samples: setattr(model, "broken", broken)
        log = measured(library, sut)
    assert log.ending is Ending.SUT_ERROR
    assert said in log.error
    assert not judge(log).valid


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_asked(serves):
    model, over = Model(), threading.Event()
    model.infer = lambda head, raw: over.wait(5) and ({"outputs": []}, b"")
    with serves(model) as url:
        with pytest.raises(RuntimeError, match="timed out"):
            Server(url, 1, 0.2, {}).infer("/v2/models/double/infer", {"x": ONE}, "y", False)
        over.set()


DTYPES = st.sampled_from(sorted(oip.NAMES)).map(np.dtype)


@given(st.data(), st.booleans())
def test_any_tensor_is_read_as_it_was_written(data, binary):
    dtype = data.draw(DTYPES)
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3)))
    parts, headers = oip.request({"x": array}, "x", binary)
    asked = json.loads(parts[0])
    body = json.dumps({"outputs": asked["inputs"]}).encode() + b"".join(parts[1:])
    length = str(len(body) - sum(map(len, parts[1:]))) if binary else None
    assert (oip.JSON_LENGTH in headers) == binary
    np.testing.assert_array_equal(oip.response(body, length, "x"), array)


def test_inputs_are_matched_by_name_before_position():
    served = [oip.Tensor("b", "INT64", (-1,)), oip.Tensor("a", "FP32", (-1, 3))]
    own = [("a", "float32", (None, 3)), ("b", "int64", (None,))]
    assert oip.matched(served, own) == ["a", "b"]
    with pytest.raises(ValueError, match="but the samples are"):
        oip.matched(served, [("c", "float32", (None, 3)), ("d", "int64", (None,))])
