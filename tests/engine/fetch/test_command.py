from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from engine.fetch import __main__ as command
from engine.fetch import progress as progress_module
from engine.fetch.catalogue import Entry, Member, Source
from engine.fetch.progress import progress

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "fetched" / "toys"


@pytest.fixture
def conf(tmp_path: Path, toys: Entry) -> Path:
    (tmp_path / "conf" / "fetch").mkdir(parents=True)
    OmegaConf.save(OmegaConf.structured(toys), tmp_path / "conf" / "fetch" / "toys.yaml")
    return tmp_path / "conf"


@pytest.fixture
def run(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs the command line on the toy catalogue: exit code, standard output, standard error."""
    monkeypatch.setattr(command, "conf_dir", lambda: conf)
    monkeypatch.setenv("TAILBOUND_CACHE", str(tmp_path / "cache"))

    def runs(*arguments: str) -> tuple[int, str, str]:
        code = command.main(list(arguments))
        return code, *capsys.readouterr()

    return runs


@pytest.fixture
def whole(photos: dict[str, bytes], make: Any) -> dict[str, bytes]:
    """The folder's whole content when everything went well: no part, no temporary file."""
    return photos | {"toys.sha256": make.sums(photos).encode()}


def test_a_file_that_nobody_pinned_is_shown_with_its_hash(
    index: Any, folder: Path, seen: Any, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    index.files["net.onnx"] = b"a network" * 1000
    url = index.file_url("net.onnx")
    entry = Entry(
        name="toys",
        description="a network",
        source=Source(kind="url", url=url, file="net.onnx"),
        members=[Member(name="net.onnx")],
        max_unpacked_bytes=10_000,
        licence=["MIT."],
    )
    command.fetch(entry, folder)
    out = capsys.readouterr().out
    assert url in out and "size not known here" in out and "Next" not in out
    digest = hashlib.sha256(index.files["net.onnx"]).hexdigest()
    assert f"{digest}\n           not pinned" in out
    sums = make.sums({"net.onnx": index.files["net.onnx"]}).encode()
    assert seen(folder) == {"net.onnx": index.files["net.onnx"], "toys.sha256": sums}
    asked = len(index.requests)
    command.fetch(entry, folder)
    assert "intact" in capsys.readouterr().out and len(index.requests) == asked
    (folder / "net.onnx").write_bytes(b"another")
    command.fetch(entry, folder)
    assert seen(folder)["net.onnx"] == index.files["net.onnx"]


def test_fetches_says_what_and_how_to_go_on(run: Run, folder: Path, seen: Any, whole: Any) -> None:
    code, out, err = run("toys")
    assert code == 0 and seen(folder) == whole
    said = [line.split()[0] for line in out.splitlines()]
    assert said[:5] == ["toys:", "source", "file", "licence", "folder"]
    assert "Toys: MIT." in out and "toy-1.0.whl: 100 % of" in err
    assert out.endswith(f"Next:\n    first\n    python -m engine dataset.path={folder}\n")


def test_the_licence_is_said_before_anything_is_asked_for(run: Run, index: Any) -> None:
    index.status = 404
    code, out, _ = run("toys")
    assert code == 3 and "Toys: MIT." in out


def untouched(file: Path) -> tuple[int, ...]:
    """What writing or replacing a file changes, and reading it does not."""
    stat = file.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def test_what_is_there_is_left_in_peace(run: Run, index: Any, folder: Path) -> None:
    run("toys")
    before, asked = untouched(folder / "val_map.txt"), len(index.requests)
    code, out, _ = run("toys")
    assert code == 0 and "already in" in out and "dataset.path=" in out
    assert len(index.requests) == asked and untouched(folder / "val_map.txt") == before


@pytest.mark.parametrize("name", ["imagenet_02_14.jpg", "val_map.txt", "toys.sha256"])
@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(b"?"), Path.unlink])
def test_what_is_damaged_is_fetched_again(
    name: str, harm: Any, run: Run, folder: Path, seen: Any, whole: Any
) -> None:
    run("toys")
    harm(folder / name)
    (folder / "mine.txt").write_text("keep")
    assert run("toys")[0] == 0
    assert seen(folder) == whole | {"mine.txt": b"keep"}


def test_files_of_the_users_own_are_not_overwritten(run: Run, tmp_path: Path, seen: Any) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "val_map.txt").write_text("my labels")
    code, _, err = run("toys", "--dir", str(own))
    assert code == 3 and "val_map.txt exists and was not fetched" in err
    kept = {name: content for name, content in seen(own).items() if not name.endswith(".part")}
    assert kept == {"val_map.txt": b"my labels"}


def test_another_folder(run: Run, tmp_path: Path, seen: Any, whole: Any) -> None:
    code, out, _ = run("toys", "--dir", str(tmp_path / "a b" / "c"))
    assert code == 0 and seen(tmp_path / "a b" / "c") == whole
    override = shlex.split(out.splitlines()[-1])[-1]
    parsed = OverridesParser.create().parse_override(override)
    assert (parsed.key_or_group, parsed.value()) == ("dataset.path", str(tmp_path / "a b" / "c"))


@pytest.mark.parametrize("name", ["/a/b-1.0", "/a b", '/a"b', "/a,b=c", "/a'b", "/ä/(b)", "/a\\b"])
def test_the_override_means_the_path_it_was_made_from(name: str) -> None:
    (word,) = shlex.split(command._override("model.path", name))
    assert OverridesParser.create().parse_override(word).value() == name


def test_a_catalogue_that_is_wrong_about_the_content_keeps_nothing(
    run: Run, conf: Path, toys: Entry, folder: Path, seen: Any
) -> None:
    wrong = dataclasses.replace(toys, sums_sha256="1" * 64)
    OmegaConf.save(OmegaConf.structured(wrong), conf / "fetch" / "toys.yaml")
    code, _, err = run("toys")
    assert code == 3 and "not those of the catalogue" in err
    assert all(name.endswith(".part") for name in seen(folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toyz"], "Did you mean toys? Known: toys."),
        ([], "Say what to fetch: toys."),
        (["toys", "--quick"], "--quick"),
        (["toys", "--dir", ""], "a folder is needed"),
    ],
)
def test_a_wrong_command_line_is_one_message(
    arguments: list[str], message: str, run: Run, index: Any
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert message in err and not index.requests


def test_the_list_needs_no_network(run: Run, index: Any) -> None:
    code, out, _ = run("--list")
    assert code == 0 and "five toy photographs" in out and "Toys: MIT." in out
    assert not index.requests


@pytest.mark.parametrize("good_calls", [0, 1, 7, 8, 9])
def test_a_full_disk_is_one_message_and_can_be_taken_up(
    good_calls: int,
    run: Run,
    folder: Path,
    seen: Any,
    whole: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full at the download, a photograph, the list of sums, and at each folder sync."""
    left = iter(range(good_calls))

    def full(_: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        code, _, err = run("toys")
    assert code == 3 and f"The disk of {folder} is full" in err and err.count("error:") == 1
    assert run("toys")[0] == 0 and seen(folder) == whole


def test_a_folder_that_cannot_be_made_is_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("toys", "--dir", str(tmp_path / "file" / "inside"))
    assert code == 3 and "cannot be used (Not a directory)" in err


def test_ctrl_c_keeps_the_part_and_the_next_run_goes_on(
    run: Run, conf: Path, index: Any, folder: Path, seen: Any, whole: Any
) -> None:
    index.stall_after = 70
    program = (
        "import signal, sys, pathlib, engine.fetch.__main__ as m\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"m.conf_dir = lambda: pathlib.Path({str(conf)!r})\n"
        "sys.exit(m.main(['toys']))\n"
    )
    root = Path(command.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline_s = time.monotonic() + 30
        while not index.asked("/files/") and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert [len(content) for content in seen(folder).values()] == [70]
    index.stall_after = None
    assert run("toys")[0] == 0 and seen(folder) == whole
    assert index.asked("/files/")[-1]["Range"] == "bytes=70-"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(progress_module.sys.stderr, "isatty", lambda: True)
    with progress("toy[1].whl", 2_000_000) as report:
        report(1_000_000)
        report(2_000_000)
    assert "toy[1].whl" in capsys.readouterr().err


def test_elsewhere_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    clock = iter([0.0, 1.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with progress("toy.whl", 2_000_000) as report:
        for done_bytes in (100, 1_000_000, 1_500_000, 2_000_000):
            report(done_bytes)
    assert capsys.readouterr().err.splitlines() == [
        "toy.whl: 50 % of 2.0 MB",
        "toy.whl: 100 % of 2.0 MB",
    ]


def test_help_is_quick_to_import() -> None:
    """None of what takes long to import is imported by the command line before it is needed."""
    program = (
        "import sys, engine.fetch.__main__\n"
        "print(*{'numpy', 'onnx', 'hydra', 'rich', 'mlflow', 'ssl'} & set(sys.modules))\n"
    )
    root = Path(command.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.network
def test_the_photographs_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from PIL import Image

    monkeypatch.undo()  # the package index as this machine's pip knows it
    assert command.main(["photos", "--dir", str(tmp_path)]) == 0, capsys.readouterr().err
    lines = (tmp_path / "val_map.txt").read_text().splitlines()
    assert len(lines) == 20 and lines == sorted(lines)
    for line in lines:
        name, label = line.split(" ")
        assert 0 <= int(label) < 1000
        with Image.open(tmp_path / name) as image:
            assert min(image.size) >= 224
    assert command.main(["photos", "--dir", str(tmp_path)]) == 0
    assert "already in" in capsys.readouterr().out
