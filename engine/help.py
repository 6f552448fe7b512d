"""``python -m engine --help``: the groups, their choices, and the benchmark as it stands.

Hydra's own help loads every file of every group, twice, and takes over a second for it.
"""

from __future__ import annotations

from pathlib import Path

from engine.arguments import own_folder
from engine.paths import conf_dir
from engine.validation import GROUPS

TEXT = """\
tailbound: how much work an inference system does inside a tail-latency bound.

python -m engine [GROUP=NAME | KEY=VALUE] ...
  python -m engine model=mobilenet scenario=server
  python -m engine model=resnet50 scenario=offline precision=int8 sut.threads=2
  python -m engine -m model=resnet50,mobilenet scenario=single_stream,offline

Groups and their choices:

{groups}

The benchmark as it stands (set any key with KEY=VALUE):

{benchmark}
Hydra's own flags (-m, --config-dir, --cfg job, ...): python -m engine --hydra-help
Results: runs/MODEL/SCENARIO/TIME/result.json; compare them with
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db
Exit codes: 0 valid, 2 invalid, 3 bad configuration, 4 system under test failed, 130 interrupted"""


def is_wanted(arguments: list[str]) -> bool:
    """Whether the command line asks for help."""
    return bool({"--help", "-h"} & set(arguments))


def help_text(arguments: list[str]) -> str:
    """The help of a command line as Hydra wants it: what its overrides make of the benchmark.

    Raises what Hydra raises for overrides that it cannot compose.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    folder = own_folder(arguments)
    own = [folder.absolute()] if folder else []
    if own and not own[0].is_dir():
        raise HydraException(f"Additional config directory '{own[0]}' not found")
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    overrides += [f"hydra.searchpath=[file://{folder}]" for folder in own]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        benchmark = OmegaConf.to_yaml(compose("config", overrides=overrides))
    names = {group: choices(group, [conf_dir(), *own]) for group in ("experiment", *GROUPS)}
    groups = "\n".join(f"{group}: {', '.join(found)}" for group, found in sorted(names.items()))
    return TEXT.format(groups=groups, benchmark=benchmark)


def choices(group: str, folders: list[Path]) -> list[str]:
    """The names that ``group=NAME`` takes from these folders of groups."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
