"""Settings of the data commands: ``key=value`` texts, checked all at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS
from hsplid_core.data.workers import n_cores
from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.files import from_home
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.validation import validated_data

# Fields of a sweep's section data that say how files are read.
_READING = ("image_size", "classes", "mask_values", "boxes_as_masks")
_KEYS = {
    "list": ("root",),
    "fetch": ("root", "mirror", "connections"),
    "check": ("root", "workers", *_READING),
    "build": ("root", "cache_dir", "workers", *_READING),
}
DATA_FOLDER = Path("data")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a data command was told.

    Attributes:
        root: The data set's folder; None if not given.
        mirror: Server in place of the official ones.
        connections: Downloads at a time.
        workers: Decoders at a time.
        cache_dir: Folder of the caches; a sweep's with the default storage.
        data: How files are read, as a sweep's section ``data`` says it.
    """

    root: Path | None = None
    mirror: str | None = None
    connections: int = 8
    workers: int = field(default_factory=n_cores)
    cache_dir: Path = Path("runs/cache")
    data: DataConfig = field(default_factory=DataConfig)


def read_settings(command: str, texts: Sequence[str]) -> Settings:
    """Read the settings of a command.

    Raises:
        ConfigError: Some are unknown or wrong; the message has one line for each.
    """
    values: dict[str, object] = {}
    reading: dict[str, object] = {}
    faults: list[str] = []
    for text in texts:
        try:
            key, value = _read(command, text)
            (reading if key in _READING else values)[key] = value
        except ConfigError as error:
            faults.append(str(error))
    try:
        values["data"] = validated_data(reading)
    except ConfigError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError("\n  ".join(faults))
    return Settings(**values)  # type: ignore[arg-type]


def _read(command: str, text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    key = key.removeprefix("data.")
    known = _KEYS[command]
    if not equals or not value:
        raise ConfigError(f"setting {text!r}: write key=value, for instance root=/data/coco")
    if key not in known:
        raise ConfigError(
            f"{key} is no setting of {command}: use {_or(known)}{did_you_mean(key, known)}"
        )
    if key in ("root", "cache_dir"):
        return key, from_home(Path(value))
    if key == "mirror":
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc:
            raise ConfigError(f"mirror is {value}: use an address such as http://localhost:8000")
        return key, value
    if key in _READING:
        (override,) = parse_overrides([f"{key}={value}"])
        return key, override.value
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{key} is {value}: use a whole number, 1 or more")
    return key, int(value)


def data_sets_named(name: str) -> tuple[str, ...]:
    """Find the data sets that a name means: the one of that name, or its variants.

    Args:
        name: A key of `DATA_SETS`, or the part before `/` that several share.

    Raises:
        ConfigError: There is none.
    """
    if name in DATA_SETS:
        return (name,)
    variants = tuple(other for other in DATA_SETS if other.startswith(f"{name}/"))
    if not variants:
        families = dict.fromkeys([*DATA_SETS, *map(family, DATA_SETS)])
        raise ConfigError(
            f"data set {name} is unknown: use {_or(families)}{did_you_mean(name, families)}"
        )
    return variants


def family(name: str) -> str:
    """The part of a data set's name that its variants share: they lie in one folder."""
    return name.partition("/")[0]


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
