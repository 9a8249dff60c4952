"""Steer a running sweep: ``python -m sweeps.control NAME add|stop|pause|...``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps._command_line import command_parser, report_errors, storage_of

if TYPE_CHECKING:
    from sweeps.study.stored_sweep import StoredSweep

_EXAMPLES = """\
examples:
  python -m sweeps.control coco_hsplid                      what was asked so far
  python -m sweeps.control coco_hsplid add method.hsplid.rho_n=0.1 training.learning_rate=1e-3
  python -m sweeps.control coco_hsplid stop 12
  python -m sweeps.control coco_hsplid pause
  python -m sweeps.control coco_hsplid resume
  python -m sweeps.control coco_hsplid retry failed
  python -m sweeps.control coco_hsplid set trials=80
  python -m sweeps.control coco_hsplid finish storage=/shared/runs

add lets a point come next, of which the sampler draws what is not given; stop ends a trial with
its epoch; pause keeps trials from starting; finish ends the sweep with the trials that run.
The driver takes a request up within seconds; where none runs, it waits for the next.
"""
ACTIONS = ("add", "stop", "pause", "resume", "retry", "set", "finish")
_LOOKS_EVERY_S = 0.3


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.control",
        "Change what a running sweep does, from any machine that has its storage.",
        _EXAMPLES,
    )
    parser.add_argument("sweep", metavar="NAME", help="name of a sweep, or its folder")
    parser.add_argument("action", nargs="?", metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="what belongs to the action; storage=FOLDER says where the sweeps are (runs)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to wait for the answer (30)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, or waiting for a driver; 2 a mistake in the call, or refused.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    given = [word for word in (arguments.action, *arguments.words) if word is not None]
    places = [word for word in given if word.startswith("storage=")]
    action, *words = [word for word in given if word not in places] or [None]
    if action is not None and action not in ACTIONS:
        raise ConfigError(
            f"{action} is no action: use {', '.join(ACTIONS)}{did_you_mean(action, ACTIONS)}"
        )
    from sweeps.storage.requests import ask, read_answer
    from sweeps.study.stored_sweep import open_sweep

    sweep = open_sweep(arguments.sweep, storage_of(places))
    if action is None:
        _tell_history(sweep, as_json=arguments.json)
        return 0
    _check(sweep, action, words)
    request = ask(sweep.folder, action, tuple(words))
    said = None
    until = time.monotonic() + arguments.wait
    while said is None and time.monotonic() < until:
        time.sleep(_LOOKS_EVERY_S)
        said = read_answer(sweep.folder, request)
    if said is not None and not said.done:
        raise ConfigError(said.text)
    text = "no driver has taken it up yet: it waits for one" if said is None else said.text
    if arguments.json:
        found = {"request": request.name, "done": said is not None, "answer": text}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(f"{text}\n")
    return 0


def _check(sweep: StoredSweep, action: str, words: Sequence[str]) -> None:
    """Tell what is wrong with a request before it is left, as the driver would."""
    from sweeps.search.space_probe import probe_space
    from sweeps.study.steered import check_stoppable, read_failed, read_point, read_trials

    if action == "add":
        info = sweep.info
        fixed = {} if info is None else info.fixed
        read_point(words, sweep.spec, fixed, probe_space(sweep.spec, fixed))
    elif action == "retry":
        read_failed(words, sweep.study)
    elif action == "stop":
        check_stoppable(words, sweep.study)
    elif action == "set":
        read_trials(words)
    elif words:
        raise ConfigError(f"{action} takes no more words, but there is {words[0]}")


def _tell_history(sweep: StoredSweep, *, as_json: bool) -> None:
    from sweeps.study.steered import history_of

    history = history_of(sweep.study)
    if as_json:
        sys.stdout.write(json.dumps(history) + "\n")
        return
    lines = [
        f"{entry['time']}  {entry['asked']}: {'' if entry['done'] else 'refused, '}"
        f"{entry['answer']}\n"
        for entry in history
    ]
    sys.stdout.write("".join(lines) or "Nothing was asked of this sweep so far.\n")


if __name__ == "__main__":
    sys.exit(main())
