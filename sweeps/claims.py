"""Try the papers' claims: ``python -m sweeps.claims list | run CLAIM [--scale small] | table``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps._command_line import command_parser, report_errors, run_resumable, storage_of
from sweeps.terminal.stop_signals import GOES_ON, stopped_exit_code

_EXAMPLES = """\
examples:
  python -m sweeps.claims list
  python -m sweeps.claims run right_digit --scale small data.root=/data/mnist
  python -m sweeps.claims run right_digit data.root=/data/mnist resources.gpu=1 --seeds 5
  python -m sweeps.claims table storage=/data/runs

A claim is a row of sweeps/specs/claims.yaml: a sentence of a paper, the sweeps that try it, the
numbers that are computed of their trials, and what counts as reproduced.
run trains what is missing (stopped at any moment, the same command goes on; more --seeds add to
those there are), and says reproduced, not reproduced or undecided.
table writes what the claims of a storage have shown: each one's part of sweeps/specs/RESULTS.md,
where all else stays, and claims.html in the storage.
"""
COMMANDS = ("list", "run", "table")
_DEFAULT_SEEDS = 3


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.claims",
        "Try the claims of the papers: run their sweeps, and say what they show.",
        _EXAMPLES,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs="*", metavar="CLAIM key.path=value")
    parser.add_argument(
        "--scale",
        choices=("paper", "small"),
        default="small",
        help="small: two cores and hours (the default); paper: as published",
    )
    parser.add_argument(
        "--seeds", type=int, default=_DEFAULT_SEEDS, metavar="N", help="seeds of each run (3)"
    )
    parser.add_argument("--claims", type=Path, metavar="FILE", help="rows of your own, as YAML")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="table: instead of sweeps/specs/RESULTS.md"
    )
    parser.add_argument("--dry-run", action="store_true", help="run: print the sweeps, run none")
    parser.add_argument(
        "--fresh", action="store_true", help="run: begin anew beside what is there"
    )
    parser.add_argument(
        "--allow-changed", action="store_true", help="run: go on after the code has changed"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, whatever the verdict; 2 a mistake in the call or a row; stopped by
        Control-C 130, by SIGTERM 143, by SIGHUP 129.
    """
    parser = _parser()
    arguments = parser.parse_intermixed_args(argv)
    names = [word for word in arguments.words if "=" not in word and not word.startswith("~")]
    if arguments.command == "run" and len(names) != 1:
        parser.error("name one claim: python -m sweeps.claims run CLAIM; see list")
    if arguments.command != "run" and names:
        parser.error(f"{arguments.command} takes no claim, got {names[0]}")
    if arguments.seeds < 1:
        parser.error(f"--seeds is {arguments.seeds}: use at least 1")
    settings = [word for word in arguments.words if word not in names]
    commands = {
        "list": lambda: _list(arguments),
        "run": lambda: run_resumable(lambda: _run(arguments, names[0], settings)),
        "table": lambda: _table(arguments, settings),
    }
    return report_errors(commands[arguments.command], debug=arguments.debug)


def _list(arguments: argparse.Namespace) -> int:
    from sweeps.reproduction.rows import CLAIMS_FILE, read_claims

    claims = read_claims(arguments.claims or CLAIMS_FILE)
    if arguments.json:
        rows = {name: claim.model_dump(mode="json") for name, claim in claims.items()}
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    for name, claim in claims.items():
        held = {claim.data_at(scale): scale for scale in claim.scales}
        told = "; ".join(f"{text} ({scale} scale)" for text, scale in held.items())
        sys.stdout.write(
            f"{name}\n  {claim.paper}, {claim.section}: {claim.claim}\n"
            f"  data.root: {told if len(held) > 1 else claim.data}\n"
        )
    return 0


def _run(arguments: argparse.Namespace, name: str, settings: Sequence[str]) -> int:
    # A misspelt claim is told before Optuna and torch are imported.
    from sweeps.reproduction.rows import CLAIMS_FILE, find_claim, read_claims
    from sweeps.spec.overrides import parse_overrides

    given = parse_overrides(settings)
    claim = find_claim(name, read_claims(arguments.claims or CLAIMS_FILE))
    from sweeps.reproduction.running import planned, run_planned

    plan = planned(name, claim, arguments.scale, given, n_seeds=arguments.seeds)
    if arguments.dry_run:
        return _print_specs({run: each.spec.resolved() for run, each in plan.runs.items()})
    if not run_planned(
        plan,
        fresh=arguments.fresh,
        allow_changed=arguments.allow_changed,
        json_lines=arguments.json,
    ):
        sys.stderr.write(f"{GOES_ON}\n")
        return stopped_exit_code()
    from sweeps.reproduction.results import result_of
    from sweeps.reproduction.text import as_json, as_text

    result = result_of(name, claim, arguments.scale, plan.storage)
    assert result is not None
    sys.stdout.write(as_json(result) if arguments.json else as_text(result))
    return 0


def _print_specs(specs: Mapping[str, Mapping[str, object]]) -> int:
    import yaml

    sys.stdout.write(yaml.safe_dump(dict(specs), sort_keys=False, allow_unicode=True))
    return 0


def _table(arguments: argparse.Namespace, settings: Sequence[str]) -> int:
    storage = storage_of(settings)
    from sweeps.reproduction.rows import CLAIMS_FILE, read_claims

    claims = read_claims(arguments.claims or CLAIMS_FILE)
    from sweeps.reproduction.page import write_page
    from sweeps.reproduction.results import results_in
    from sweeps.reproduction.text import as_json, write_results

    found = results_in(claims, storage)
    # What was written before stays where nothing is known of a row as it is now.
    results = [result for result in found if result.says_something]
    file = write_results(results, arguments.results)
    page = write_page(results, storage)
    if arguments.json:
        sys.stdout.writelines(as_json(result) for result in results)
        return 0
    for result in found:
        why = "; ".join(result.notes) or "no seed has ended in all of its runs"
        told = result.verdict if result in results else f"not written: {why}"
        sys.stdout.write(f"{result.name}, {result.scale} scale: {told}\n")
    sys.stdout.write(f"Table  {file}\nPage   {page}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
