"""Requests to a running sweep: files in its storage, which its driver takes up and answers.

Whoever asks needs nothing of the driver but the storage that both have, a folder or a bucket. A
request lies there until a driver has answered it, whether one runs just now or not.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import ConfigError
from hsplid_core.files import replace_text
from sweeps.storage.bucket_mirror import shared_place

_FOLDER = "requests"
_ANSWER = ".answer.json"
_KEPT_S = 24 * 3600.0  # answers that nobody waits for any more


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody asks of a sweep.

    Attributes:
        name: Its identity, by which requests are in the order of their times.
        action: Such as ``add`` or ``stop``.
        words: What belongs to it, as on a command line.
    """

    name: str
    action: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the driver says to a request.

    Attributes:
        done: Whether it does what was asked.
        text: A line for people.
    """

    done: bool
    text: str


def requests_folder(folder: Path) -> AnyPath:
    """Return where the requests to a sweep lie.

    Args:
        folder: The sweep's folder; one that stands for a bucket has them there.
    """
    return shared_place(folder) / _FOLDER


def ask(folder: Path, action: str, words: tuple[str, ...]) -> Request:
    """Leave a request to a sweep.

    Args:
        folder: The sweep's folder.
        action: What to do.
        words: What belongs to it.
    """
    request = Request(name=f"{time.time_ns()}-{uuid.uuid4().hex[:8]}", action=action, words=words)
    place = requests_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    _write(place / f"{request.name}.json", asdict(request))
    return request


def waiting(folder: Path) -> Iterator[Request]:
    """Yield the requests that nobody has answered, in the order of their times."""
    place = requests_folder(folder)
    if isinstance(place, Path) and not place.is_dir():
        return
    names = {file.name for file in place.glob("*.json")}
    for name in sorted(names):
        answer = name.removesuffix(".json") + _ANSWER
        if name.endswith(_ANSWER) or answer in names:
            continue
        if (request := _read_request(place / name)) is not None:
            yield request


def _read_request(file: AnyPath) -> Request | None:
    """Read a request; None where it cannot be read now, an action that nobody does if damaged."""
    name = file.name.removesuffix(".json")
    try:
        text = file.read_text()
        found = json.loads(text)
        action, words = found["action"], found["words"]
        if isinstance(action, str) and all(isinstance(word, str) for word in words):
            return Request(name=name, action=action, words=tuple(words))
    except OSError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    return Request(name=name, action="a damaged request", words=())


def answer(folder: Path, request: Request, said: Answer) -> None:
    """Answer a request, and clear away those whose answers are old."""
    place = requests_folder(folder)
    _write(place / f"{request.name}{_ANSWER}", asdict(said))
    oldest = time.time_ns() - int(_KEPT_S * 1e9)
    for file in place.glob(f"*{_ANSWER}"):
        name = file.name.removesuffix(_ANSWER)
        asked = name.partition("-")[0]
        if asked.isdecimal() and int(asked) < oldest:
            file.unlink(missing_ok=True)
            (place / f"{name}.json").unlink(missing_ok=True)


def read_answer(folder: Path, request: Request) -> Answer | None:
    """Return the answer to a request; None before there is one.

    Raises:
        ConfigError: It is damaged.
    """
    file = requests_folder(folder) / f"{request.name}{_ANSWER}"
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text())
        return Answer(done=bool(found["done"]), text=str(found["text"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{file} is damaged ({error}): python -m sweeps.control {folder.name} lists what was "
            "asked, and the answers"
        ) from error


def _write(file: AnyPath, content: dict[str, Any]) -> None:
    text = json.dumps(content) + "\n"
    if isinstance(file, Path):
        replace_text(file, text)
    else:
        file.write_text(text)
