"""Shell completion of commands, sweeps and keys, by argcomplete.

After ``eval "$(register-python-argcomplete saliency-sweeps)"`` the shell asks the program itself
at each press of the key; neither torch nor Optuna is imported for an answer.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

_ASKS = "_ARGCOMPLETE"  # the environment variable by which a shell asks
_NEW = ("run", "submit")  # commands that take sweeps which need not exist yet


def is_asked() -> bool:
    """Tell whether a shell asks how a line may go on, and not for a command."""
    return _ASKS in os.environ


def complete(commands: Mapping[str, str], *, end: Callable[[int], object] = os._exit) -> None:
    """Answer the shell, and end the program.

    Args:
        commands: What each command does, by its name.
        end: Called with the exit code.
    """
    try:
        import argcomplete
    except ImportError:
        sys.exit("error: completion needs argcomplete: pip install '.[completion]'")
    words = os.environ.get("COMP_LINE", "").split()
    parser = argparse.ArgumentParser(prog="saliency-sweeps")
    below = parser.add_subparsers()
    for name, summary in commands.items():
        own = []
        if name in words[1:2]:
            own = [importlib.import_module(f"sweeps.{name}")._parser()]
            for action in own[0]._actions:
                _complete_by(action, name, words)
        below.add_parser(name, parents=own, add_help=False, help=summary)
    argcomplete.autocomplete(parser, exit_method=end)


def _complete_by(action: argparse.Action, command: str, words: Sequence[str]) -> None:
    """Let an argument propose what it takes, as far as its parser does not say so itself."""
    offers: dict[str, Callable[[], Iterable[str]]] = {
        "sweep": lambda: [*(_registered() if command in _NEW else ()), *_stored(words)],
        "action": lambda: importlib.import_module("sweeps.control").ACTIONS,
        "name": _data_sets,
    }
    if command in ("run", "submit", "claims", "control"):
        offers |= dict.fromkeys(("overrides", "words"), lambda: _keys(words))
    elif command == "report":
        offers["overrides"] = lambda: [*_stored(words), "storage="]
    else:
        offers["overrides"] = lambda: ["storage="]
    if action.dest in offers and action.choices is None:
        offer = offers[action.dest]
        action.completer = lambda **_: list(offer())  # type: ignore[attr-defined]


def _registered() -> Iterable[str]:
    from sweeps.spec.registry import SWEEPS

    return SWEEPS


def _stored(words: Sequence[str]) -> Iterable[str]:
    """Return the names of the sweeps that lie where the line says."""
    from sweeps.spec.moved_storage import SPEC_FILE

    named = [word.partition("=")[2] for word in words if word.startswith("storage=")]
    folder = Path(named[-1] if named else "runs").expanduser()
    return sorted(file.parent.name for file in folder.glob(f"*/{SPEC_FILE}"))


def _data_sets() -> Iterable[str]:
    from hsplid_core.config.names import DATA_SETS

    return DATA_SETS


def _keys(words: Sequence[str]) -> Iterable[str]:
    """Return the keys of a spec; of one that the last word names, its values."""
    from sweeps.spec.allowed_values import all_places, alternatives, choices, keys_at, kind_at

    key, is_set, _ = (words[-1] if words else "").partition("=")
    if is_set:
        kind = kind_at(key.split("."))
        values = [*choices(kind), *(("true", "false") if bool in alternatives(kind) else ())]
        return [f"{key}={value}" for value in values]
    return [f"{'.'.join(map(str, place))}=" for place in all_places() if not keys_at(place)]
