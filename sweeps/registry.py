"""Which sweep a name stands for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from hsplid_core.errors import ConfigError

_SPECS = Path(__file__).parent / "specs"


@dataclass(frozen=True)
class SweepEntry:
    """A sweep that comes with this package.

    Attributes:
        spec: Its YAML file.
        summary: What it does, in one line.
    """

    spec: Path
    summary: str


SWEEPS: dict[str, SweepEntry] = {
    "coco_hsplid": SweepEntry(
        _SPECS / "coco_hsplid.yaml",
        "H-SPLID on COCO animals: accuracy against robustness to changed backgrounds",
    ),
    "coco_pretrain": SweepEntry(
        _SPECS / "coco_pretrain.yaml",
        "Cross-entropy on COCO animals: the model that coco_hsplid starts from",
    ),
}


def spec_file(name_or_file: str) -> Path:
    """Find the YAML file of a sweep.

    Args:
        name_or_file: A name in :data:`SWEEPS`, or the path of a YAML file.

    Raises:
        ConfigError: Neither such a sweep nor such a file exists.
    """
    if name_or_file in SWEEPS:
        return SWEEPS[name_or_file].spec
    path = Path(name_or_file).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"sweep file {name_or_file} does not exist: check the path")
    near = difflib.get_close_matches(name_or_file, SWEEPS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"sweep {name_or_file} is unknown: use one of {', '.join(sorted(SWEEPS))}, "
        f"or the path of a .yaml file{hint}"
    )
