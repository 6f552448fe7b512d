"""The record is whole or absent, and says whether it is finished."""

import json

import pytest

from engine.record import Record


def test_nothing_but_numbers_that_json_knows_goes_in(tmp_path, configured):
    record = Record(tmp_path, configured(), "python -m engine")
    record.data["performance"] = {"value": float("nan")}
    with pytest.raises(ValueError, match="JSON compliant"):
        record.save()


def test_a_record_is_unfinished_until_it_is_finished(tmp_path, configured):
    record = Record(tmp_path, configured(), "python -m engine")
    record.save()
    saved = json.loads((tmp_path / "result.json").read_text())
    assert (saved["finished"], saved["verdict"]) == (False, None)
    record.finish("INTERRUPTED", 130, "why")
    saved = json.loads((tmp_path / "result.json").read_text())
    assert (saved["finished"], saved["verdict"], saved["exit_code"]) == (False, "INTERRUPTED", 130)
    record.finish("VALID", 0)
    assert json.loads((tmp_path / "result.json").read_text())["finished"] is True
