from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.fetch.archive import unpack
from engine.fetch.catalogue import Member

PHOTO = ("toy/data/imagenet_00_7.jpg", b"a photograph")
ZIP_AND_TAR = pytest.mark.parametrize("suffix", [".whl", ".tar.gz"])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An archive's path, and an empty folder two levels down for what it holds."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return tmp_path / "archive.part", inner


def archived(make: Any, suffix: str, *members: tuple[str, bytes]) -> bytes:
    return make.zip(dict(members)) if suffix == ".whl" else make.tar(*members)


def try_unpack(
    folders: tuple[Path, Path], make: Any, content: bytes, file: str, **entry: Any
) -> Any:
    folders[0].write_bytes(content)
    return unpack(folders[0], make.entry(content, file, **entry), folders[1])


@ZIP_AND_TAR
def test_takes_only_what_is_wanted(suffix: str, folders: Any, make: Any, seen: Any) -> None:
    other = ("toy/data/imagenet_01_12.jpg", b"another")
    code = ("toy/setup.py", b"raise SystemExit")
    content = archived(make, suffix, other, code, PHOTO)
    names = try_unpack(folders, make, content, f"toy{suffix}")
    assert names == ["imagenet_00_7.jpg", "imagenet_01_12.jpg", "val_map.txt"]
    assert seen(folders[1]) == {
        "imagenet_00_7.jpg": b"a photograph",
        "imagenet_01_12.jpg": b"another",
        "val_map.txt": b"imagenet_00_7.jpg 7\nimagenet_01_12.jpg 12\n",
    }


@ZIP_AND_TAR
def test_an_exact_member_takes_its_new_name(
    suffix: str, folders: Any, make: Any, seen: Any
) -> None:
    members = [Member(name=PHOTO[0], to="x.jpg")]
    content = archived(make, suffix, PHOTO)
    assert try_unpack(folders, make, content, f"a{suffix}", members=members, label_map=None) == [
        "x.jpg"
    ]
    assert seen(folders[1]) == {"x.jpg": b"a photograph"}


@ZIP_AND_TAR
@pytest.mark.parametrize("name", ["../evil", "/evil", "toy/../../evil", "a\\..\\evil", "C:evil"])
@pytest.mark.parametrize("pattern", [".*evil", r".*\.jpg"])
def test_unsafe_names_are_refused(
    name: str, pattern: str, suffix: str, folders: Any, make: Any
) -> None:
    content = archived(make, suffix, (name, b"evil"), PHOTO)
    with pytest.raises(ConfigError, match="unsafe name"):
        try_unpack(folders, make, content, f"a{suffix}", members=[Member(pattern=pattern)])
    assert not list(folders[1].iterdir())
    assert not list(folders[0].parent.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_wanted_link_in_a_tar_is_refused(kind: bytes, folders: Any, make: Any) -> None:
    link = tarfile.TarInfo(PHOTO[0])
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(ConfigError, match="not a plain file"):
        try_unpack(folders, make, make.tar(link), "a.tar.gz")
    assert not list(folders[1].iterdir())


def test_an_unwanted_link_in_a_tar_is_ignored(folders: Any, make: Any) -> None:
    link = tarfile.TarInfo("docs/latest")
    link.type, link.linkname = tarfile.SYMTYPE, "1.0"
    assert "imagenet_00_7.jpg" in try_unpack(folders, make, make.tar(link, PHOTO), "a.tar.gz")


def test_a_wanted_link_in_a_zip_is_refused(folders: Any, make: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        link = zipfile.ZipInfo(PHOTO[0])
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(ConfigError, match="not a plain file"):
        try_unpack(folders, make, buffer.getvalue(), "a.zip")


@ZIP_AND_TAR
@pytest.mark.parametrize("name", [PHOTO[0], "padding"])
def test_an_archive_that_expands_too_far_is_refused(
    name: str, suffix: str, folders: Any, make: Any
) -> None:
    content = archived(make, suffix, (name, b"\0" * 5_000_000), ("toy/last", b""))
    assert len(content) < 50_000
    with pytest.raises(ConfigError, match="expands to more than the 1000000 bytes"):
        try_unpack(folders, make, content, f"a{suffix}")
    assert not list(folders[1].iterdir())


def test_a_zip_that_lies_about_a_size_is_refused(folders: Any, make: Any) -> None:
    content = make.zip({PHOTO[0]: b"\0" * 5_000_000})
    lying = content.replace((5_000_000).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    assert lying != content
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        try_unpack(folders, make, lying, "a.zip")


@ZIP_AND_TAR
def test_two_members_that_become_one_file_are_refused(suffix: str, folders: Any, make: Any) -> None:
    content = archived(make, suffix, ("a/x.jpg", b"1"), ("b/x.jpg", b"2"))
    with pytest.raises(ConfigError, match=r"'b/x.jpg' cannot become 'x.jpg'"):
        try_unpack(folders, make, content, f"a{suffix}", members=[Member(pattern=r".*\.jpg")])


@ZIP_AND_TAR
def test_a_member_that_would_be_the_label_map_is_refused(
    suffix: str, folders: Any, make: Any
) -> None:
    content = archived(make, suffix, ("a/val_map.txt", b"1"))
    with pytest.raises(ConfigError, match=r"cannot become 'val_map\.txt'"):
        try_unpack(folders, make, content, f"a{suffix}", members=[Member(pattern=r".*")])


@ZIP_AND_TAR
def test_a_missing_member_is_named(suffix: str, folders: Any, make: Any) -> None:
    members = [Member(name=PHOTO[0]), Member(name="toy/gone.onnx")]
    with pytest.raises(ConfigError, match=r"has no toy/gone\.onnx"):
        try_unpack(folders, make, archived(make, suffix, PHOTO), f"a{suffix}", members=members)


@ZIP_AND_TAR
def test_a_damaged_archive_is_one_message(suffix: str, folders: Any, make: Any) -> None:
    content = archived(make, suffix, (PHOTO[0], bytes(range(256)) * 400))
    for damaged in (b"", b"neither", content[: len(content) // 2]):
        with pytest.raises(ConfigError, match="cannot be unpacked"):
            try_unpack(folders, make, damaged, f"a{suffix}")


def test_an_unknown_kind_of_archive_is_refused(folders: Any, make: Any) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.whl"):
        try_unpack(folders, make, b"", "a.rar")
