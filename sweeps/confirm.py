"""Confirm a sweep's front: ``python -m sweeps.confirm NAME --seeds 5 [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from sweeps._command_line import (
    report_errors,
    run_resumable,
    storage_of,
    sweep_parser,
    trial_numbers,
)
from sweeps.terminal.stop_signals import GOES_ON, stopped_exit_code

_EXAMPLES = """\
examples:
  python -m sweeps.confirm coco_hsplid --seeds 5
  python -m sweeps.confirm coco_hsplid --seeds 3 --trials 1,4 --suite paper
  python -m sweeps.confirm models:/coco_hsplid@knee
  python -m sweeps.confirm coco_hsplid storage=/data/runs --json

NAME may be a model of a sweep in MLflow, by its name in the registry or its run: its trial alone
is confirmed then.

Trains every configuration of the front, and beside each cross-entropy alone for as long with its
learning rate and all else that is no method's, from models newly pretrained under each seed, and
judges all on the test split. The same command again continues
one that was interrupted; a larger number of seeds adds to it.
"""


def _parser() -> argparse.ArgumentParser:
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
        "--trials", type=trial_numbers, default=(), metavar="N,N", help="instead of the front"
    )
    parser.add_argument(
        "--suite",
        help="attack suite: standard, plus, paper, fgsm, search, or objective: the sweep's own "
        "regions and radii under the attacks of standard (standard; on demo data objective)",
    )
    parser.add_argument(
        "--max-images",
        type=int,
        metavar="N",
        help="attack only so many test images (all; on demo data 60)",
    )
    parser.add_argument(
        "--cascade",
        choices=("on", "off"),
        default="on",
        help="off attacks every cell on its own, for final numbers beside published tables",
    )
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="where a model is looked for; the storage's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call or a sweep without a front; stopped before
        the end by Control-C 130, by SIGTERM 143, by SIGHUP 129.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: run_resumable(lambda: _run(arguments)), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    # A mistake in the call is told before Ray is imported.
    from sweeps.confirmation.find_trials import find_trials
    from sweeps.confirmation.plan import make_plan, make_suite
    from sweeps.spec.addresses import check_tracking_uri

    if arguments.tracking_uri is not None:
        check_tracking_uri(arguments.tracking_uri, field="--tracking-uri")
    sweep, trials = find_trials(
        arguments.sweep,
        arguments.trials,
        storage=storage_of(arguments.overrides),
        tracking_uri=arguments.tracking_uri,
    )
    is_demo = sweep.info is not None and sweep.info.is_demo
    plan = make_plan(
        sweep,
        n_seeds=arguments.seeds,
        first_seed=arguments.first_seed,
        trials=trials,
        suite=make_suite(
            arguments.suite,
            arguments.max_images,
            is_demo=is_demo,
            cascade=arguments.cascade == "on",
        ),
    )
    from sweeps.confirmation.mlflow_numbers import record
    from sweeps.confirmation.results import sum_up, write_confirmation
    from sweeps.confirmation.text_tables import print_confirmation
    from sweeps.confirmation.training import run_plan
    from sweeps.outputs import write_report
    from sweeps.outputs.write_all import write_all
    from sweeps.storage.bucket_mirror import publish

    if not arguments.json:
        sys.stdout.write(f"{plan.summary}\n")
    evidence = run_plan(plan, json_lines=arguments.json, write_outputs=write_all)
    if evidence is None:
        sys.stderr.write(f"{GOES_ON}\n")
        return stopped_exit_code()
    confirmation = sum_up(plan, evidence)
    write_confirmation(plan.folder, confirmation, evidence.measurements)
    report = write_report(sweep)
    record(plan, confirmation, report)
    publish(sweep.folder)
    if arguments.json:
        sys.stdout.write(json.dumps({"event": "confirmed", **asdict(confirmation)}) + "\n")
    else:
        print_confirmation(confirmation, n_seeds=len(plan.seeds))
        sys.stdout.write(f"Report  {report}\nNumbers {plan.folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
