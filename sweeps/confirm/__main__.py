"""Confirm a sweep's front: ``python -m sweeps.confirm NAME --seeds 5 [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

_EXAMPLES = """\
examples:
  python -m sweeps.confirm coco_hsplid --seeds 5
  python -m sweeps.confirm coco_hsplid --seeds 3 --trials 1,4 --suite paper
  python -m sweeps.confirm coco_hsplid storage=/data/runs --json

Trains every configuration of the front, and cross-entropy alone for as long, from models newly
pretrained under each seed, and judges all on the test split. The same command again continues
one that was interrupted; a larger number of seeds adds to it.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.confirm",
        description="Train the configurations of a front anew, and judge them on the test split.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sweep", metavar="NAME", help="name of a sweep, or its folder")
    parser.add_argument(
        "overrides", nargs="*", metavar="storage=FOLDER", help="where the sweeps are (runs)"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="new seeds (5)")
    parser.add_argument(
        "--first-seed", type=int, metavar="N", help="by default the one after the sweep's own"
    )
    parser.add_argument(
        "--trials", type=_numbers, default=(), metavar="N,N", help="instead of the front"
    )
    parser.add_argument(
        "--suite", default="standard", help="attack suite: standard, paper, search"
    )
    parser.add_argument(
        "--max-images", type=int, metavar="N", help="attack only so many test images"
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
    arguments = _parser().parse_intermixed_args(argv)

    from sweeps._command import report_errors

    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    # A mistake in the call is told before Ray is imported.
    from hsplid_core.analysis_config import ConfirmationConfig
    from hsplid_core.robustness import find_suite
    from sweeps._command import storage_of
    from sweeps.confirm.plan import make_plan
    from sweeps.stored import check_complete, open_sweep

    find_suite(arguments.suite)
    sweep = open_sweep(arguments.sweep, storage_of(arguments.overrides))
    check_complete(sweep)
    plan = make_plan(
        sweep,
        n_seeds=arguments.seeds,
        first_seed=arguments.first_seed,
        trials=arguments.trials,
        suite=ConfirmationConfig(suite=arguments.suite, max_images=arguments.max_images),
    )
    from sweeps.confirm.results import sum_up, write_confirmation
    from sweeps.confirm.running import run_plan
    from sweeps.report import write_report

    evidence = run_plan(plan, json_lines=arguments.json)
    if evidence is None:
        sys.stderr.write("Stopped before all trials ran; the same command goes on from here.\n")
        return 130
    confirmation = sum_up(plan, evidence)
    write_confirmation(plan.folder, confirmation, evidence.measurements)
    report = write_report(sweep)
    if arguments.json:
        from dataclasses import asdict

        sys.stdout.write(json.dumps({"event": "confirmed", **asdict(confirmation)}) + "\n")
    else:
        from rich.console import Console

        from sweeps.confirm.presenting import (
            conclusions,
            doubts_text,
            luck_rows,
            rich_table,
            test_rows,
            turned,
        )

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


if __name__ == "__main__":
    sys.exit(main())
