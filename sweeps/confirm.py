"""Confirm a sweep's front: ``python -m sweeps.confirm NAME --seeds 5 [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError
from sweeps._command_line import open_named, report_errors, storage_of, sweep_parser

if TYPE_CHECKING:
    from hsplid_core.config.analyses import ConfirmationConfig
    from sweeps.study.stored_sweep import StoredSweep

_DEMO_IMAGES = 60

_EXAMPLES = """\
examples:
  python -m sweeps.confirm coco_hsplid --seeds 5
  python -m sweeps.confirm coco_hsplid --seeds 3 --trials 1,4 --suite paper
  python -m sweeps.confirm models:/coco_hsplid@knee
  python -m sweeps.confirm coco_hsplid storage=/data/runs --json

NAME may be a model of a sweep in MLflow, by its name in the registry or its run: its trial alone
is confirmed then.

Trains every configuration of the front, and cross-entropy alone for as long, from models newly
pretrained under each seed, and judges all on the test split. The same command again continues
one that was interrupted; a larger number of seeds adds to it.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = sweep_parser(
        "sweeps.confirm",
        "Train the configurations of a front anew, and judge them on the test split.",
        _EXAMPLES,
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="new seeds (5)")
    parser.add_argument(
        "--first-seed", type=int, metavar="N", help="by default the one after the sweep's own"
    )
    parser.add_argument(
        "--trials", type=_numbers, default=(), metavar="N,N", help="instead of the front"
    )
    parser.add_argument(
        "--suite",
        help="attack suite: standard, paper, search, or objective: the sweep's own regions and "
        "radii under the attacks of standard (standard; on demo data objective)",
    )
    parser.add_argument(
        "--max-images",
        type=int,
        metavar="N",
        help=f"attack only so many test images (all; on demo data {_DEMO_IMAGES})",
    )
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="where a model is looked for; the storage's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call or a sweep without a front, 130 when the
        user stopped before the end.
    """
    arguments = make_parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    # A mistake in the call is told before Ray is imported.
    from sweeps.confirmation.plan import make_plan

    sweep, trials = _chosen(arguments)
    plan = make_plan(
        sweep,
        n_seeds=arguments.seeds,
        first_seed=arguments.first_seed,
        trials=trials,
        suite=judging(arguments, is_demo=sweep.about is not None and sweep.about.is_demo),
    )
    from sweeps.confirmation.mlflow_numbers import record
    from sweeps.confirmation.results import sum_up, write_confirmation
    from sweeps.confirmation.training import run_plan
    from sweeps.outputs import write_report
    from sweeps.outputs.write_all import write_all
    from sweeps.storage.bucket_mirror import publish

    if not arguments.json:
        sys.stdout.write(f"{plan.summary}\n")
    evidence = run_plan(plan, json_lines=arguments.json, write_outputs=write_all)
    if evidence is None:
        sys.stderr.write("Stopped before all trials ran; the same command goes on from here.\n")
        return 130
    confirmation = sum_up(plan, evidence)
    write_confirmation(plan.folder, confirmation, evidence.measurements)
    report = write_report(sweep)
    record(plan, confirmation, report)
    publish(sweep.folder)
    if arguments.json:
        from dataclasses import asdict

        sys.stdout.write(json.dumps({"event": "confirmed", **asdict(confirmation)}) + "\n")
    else:
        from rich.console import Console

        from sweeps.confirmation.text_tables import (
            conclusions,
            doubts_text,
            luck_rows,
            test_rows,
            turned,
        )
        from sweeps.terminal.trial_table import rich_table

        console = Console()
        seeds = f"{len(plan.seeds)} new seeds, mean ± sd [95% interval] in %"
        console.print(rich_table(f"Test split, {seeds}", *turned(*test_rows(confirmation))))
        console.print(rich_table("Promise and luck, validation images", *luck_rows(confirmation)))
        for line in conclusions(confirmation):
            console.print(line, markup=False, highlight=False)
        if (doubts := doubts_text(confirmation)) is not None:
            console.print(doubts, markup=False, highlight=False)
        if confirmation.is_demo:
            console.print("Demo data: these figures say nothing about the real data set.")
        console.print(f"Report  {report}", soft_wrap=True)
        console.print(f"Numbers {plan.folder}", soft_wrap=True)
    return 0


def judging(arguments: argparse.Namespace, *, is_demo: bool) -> ConfirmationConfig:
    """Say how models are judged: on demo data so that it takes minutes of a CPU, not hours.

    Args:
        arguments: Of the command line.
        is_demo: Whether the sweep's images are the stand-in.

    Raises:
        ConfigError: There is no such suite, or the number of images is not positive.
    """
    from hsplid_core.config.analyses import ConfirmationConfig
    from hsplid_core.evaluation import find_suite
    from trainables.confirmation import OWN_SUITE

    suite = arguments.suite or (OWN_SUITE if is_demo else "standard")
    if suite != OWN_SUITE:
        find_suite(suite, or_else=[OWN_SUITE])
    few = _DEMO_IMAGES if is_demo and arguments.suite is None else None
    return ConfirmationConfig(suite=suite, max_images=arguments.max_images or few)


def _chosen(arguments: argparse.Namespace) -> tuple[StoredSweep, tuple[int, ...]]:
    """Find the sweep and the trials that were named, the latter empty for the front."""
    from sweeps.storage.bucket_mirror import local_folder
    from sweeps.tracking import default_uri
    from sweeps.tracking.find_models import is_model_name, trial_of

    model = arguments.sweep
    if not is_model_name(model):
        return open_named(arguments), arguments.trials
    if arguments.trials:
        raise ConfigError(f"{model} is one trial already: leave --trials away")
    storage = local_folder(storage_of(arguments.overrides))
    found = trial_of(model, arguments.tracking_uri or default_uri(storage))
    if found is None:
        raise ConfigError(f"{model} comes from no trial of a sweep")
    arguments.sweep = str(storage / found.sweep)
    sweep = open_named(arguments)
    if sweep.recording.sweep_id != found.sweep_id:
        raise ConfigError(
            f"{model} comes from another sweep than {sweep.folder}: name its folder's place with "
            "storage=FOLDER"
        )
    return sweep, (found.number,)


if __name__ == "__main__":
    sys.exit(main())
