"""A served model measured from the command line: the network here, behind a server."""

import json

import pytest

from sut import oip

SMALL = ("model=mobilenet", "precision=fp32", "scenario=single_stream", "sut=remote")


TENSOR = {"datatype": "FP32", "shape": [-1, 3, 224, 224]}
METADATA = {
    "inputs": [TENSOR | {"name": "input"}],
    "outputs": [{"name": "classes", "datatype": "INT64", "shape": [-1]}],
}


def get(path):
    page = {"extensions": [oip.BINARY]} if path == "/v2" else METADATA
    return 200, json.dumps(page).encode(), {}


def test_a_served_model_is_measured_and_scored(engine, monkeypatch, serving):
    monkeypatch.setenv("SERVER_TOKEN", "s3cret")
    tokens = set()

    def post(path, headers, body):
        tokens.update(headers.get_all("Authorization"))
        head = json.loads(body[: int(headers[oip.JSON_LENGTH])])
        count = head["inputs"][0]["shape"][0]
        output = {"name": "classes", "datatype": "INT64", "shape": [count], "data": [7] * count}
        return 200, json.dumps({"outputs": [output]}).encode(), {}

    with serving(get, post) as url:
        address = url.replace("://", "://me:hidden@")
        asked = (f"sut.url={address!r}", "sut.token_variable=SERVER_TOKEN")
        ended = engine(*SMALL, *asked, "mode=both", "sut.workers=1")
    record = ended.record
    assert record["performance"]["valid"], ended.out + ended.err
    # Not one answer in eight is right, so the quality is missed and said.
    assert (ended.code, record["verdict"]) == (2, "INVALID")
    assert record["accuracy"]["quality"]["count"] == 8
    assert tokens == {"Bearer s3cret"}
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
