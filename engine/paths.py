"""Where the configuration lies on this machine, and what is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from engine.errors import ConfigError

CACHE_VARIABLE = "TAILBOUND_CACHE"
FETCHED = "fetched:"
# Groups and experiments of the user's own, if there are any: the command line looks into it.
OWN_CONF = Path("runs/conf")


def conf_dir() -> Path:
    """Folder of the YAML groups: engine/conf in the wheel, conf beside engine in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"No configuration found: neither {package / 'conf'} nor {package.parent / 'conf'} is a "
        "folder. The installation is incomplete: install tailbound again."
    )


def cache_dir(configured: str | None = None) -> Path:
    """Root of everything kept between runs: as configured, TAILBOUND_CACHE, or the user's cache."""
    chosen = configured or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("tailbound", appauthor=False))


def must_be_file(key: str, path: Path) -> None:
    """Raise ConfigError, which blames the config's ``key``, where ``path`` is no file."""
    if not path.is_file():
        raise ConfigError(f"{key}={path}: there is no such file.")


def fetched_dir(name: str, cache: Path) -> Path:
    """Folder in which ``engine.fetch`` keeps the catalogue entry ``name`` unless told otherwise."""
    return cache / "fetched" / name


def sums_path(name: str, folder: Path) -> Path:
    """The list of SHA-256 sums that is written last: its presence says the entry is complete."""
    return folder / f"{name}.sha256"


def resolve(path: str, cache: Path) -> Path:
    """A path as users write it, made a real one; ``fetched:NAME/FILE`` lies in the cache.

    Raises ConfigError when a ``fetched:`` path is malformed or has not been fetched yet. Other
    paths are returned as they are, ``~`` expanded, and not looked at.
    """
    if not path.startswith(FETCHED):
        return Path(path).expanduser()
    inside = PurePosixPath(path.removeprefix(FETCHED))
    if not inside.parts or inside.is_absolute() or ".." in inside.parts or "\\" in path:
        raise ConfigError(
            f"{path} is not allowed: after '{FETCHED}' comes NAME or NAME/FILE, as in "
            "fetched:squeezenet/squeezenet1.1-7.onnx."
        )
    name = inside.parts[0]
    folder = fetched_dir(name, cache)
    found = folder.joinpath(*inside.parts[1:])
    if not (sums_path(name, folder).is_file() and found.exists()):
        elsewhere = "" if cache == cache_dir() else f' --dir "{folder}"'
        raise ConfigError(
            f"{path} is not there ({found} is missing or incomplete). "
            f"Get it with: python -m engine.fetch {name}{elsewhere}"
        )
    return found
