"""Run a sweep: ``python -m sweeps.run NAME_OR_FILE [key.path=value ...]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from search_spaces import SWITCH_PREFIX
from sweeps._command_line import command_parser, report_errors, run_resumable
from sweeps.spec.registry import SWEEPS
from sweeps.storage.file_names import REPORT_FILE
from sweeps.terminal.restart import restarts
from sweeps.terminal.stop_signals import GOES_ON, is_hurried, stopped_exit_code

_EXAMPLES = """\
examples:
  python -m sweeps.run --list
  python -m sweeps.run coco_hsplid                            demo data, two objectives
  python -m sweeps.run coco_hsplid trials=30 training.epochs=12
  python -m sweeps.run coco_hsplid method.hsplid.rho_n=0.1    fixed, no longer searched
  python -m sweeps.run coco_hsplid data.root=/data/coco resources.gpu=0.5
  python -m sweeps.run coco_hsplid data.root=/data/coco --small
  python -m sweeps.run my_sweep.yaml --dry-run

The same command again continues a sweep that was interrupted.
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.run",
        "Search the hyperparameters of a training method for several objectives.",
        _EXAMPLES,
    )
    parser.add_argument(
        "sweep", nargs="?", metavar="NAME_OR_FILE", help="a sweep of --list, or a YAML file"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key.path=value",
        help="replaces a value of the spec; a searched parameter is then fixed",
    )
    parser.add_argument("--list", action="store_true", help="list the sweeps and stop")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of a YAML file and stop"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and print the resolved spec, run nothing"
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help="take the sizes of the demo section with real data, too, for a first try",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start a new study beside the old one"
    )
    parser.add_argument(
        "--allow-changed",
        action="store_true",
        help="go on with a sweep although its spec, data or code has changed",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call or the spec, 75 the cluster was lost;
        stopped by Control-C 130, by SIGTERM 143, by SIGHUP 129.
    """
    parser = _parser()
    arguments = parser.parse_intermixed_args(argv)
    if arguments.list:
        sys.stdout.write(_listing(as_json=arguments.json))
        return 0
    if arguments.schema:
        from sweeps.spec.json_schema import schema_text

        sys.stdout.write(schema_text())
        return 0
    if arguments.sweep is None:
        parser.error(f"name a sweep ({', '.join(SWEEPS)}) or a YAML file; see --list")
    return report_errors(lambda: run_resumable(lambda: _run(arguments)), debug=arguments.debug)


def _listing(*, as_json: bool) -> str:
    if as_json:
        entries = {name: entry.summary for name, entry in SWEEPS.items()}
        return json.dumps(entries, indent=2) + "\n"
    width = max(len(name) for name in SWEEPS)
    return "".join(f"{name:<{width}}  {entry.summary}\n" for name, entry in SWEEPS.items())


def _run(arguments: argparse.Namespace) -> int:
    # Optuna is imported with the checks, torch, ray and mlflow only with the engine: --help and
    # --list stay quick, and a slip in a spec is told within a second.
    from sweeps.search.checks import check_sweep
    from sweeps.spec.overrides import parse_overrides

    overrides = parse_overrides(arguments.overrides)
    checked = check_sweep(arguments.sweep, overrides, small=arguments.small)
    spec, fixed = checked.spec, checked.fixed
    if arguments.dry_run:
        if arguments.json:
            sys.stdout.write(json.dumps(spec.resolved(), indent=2) + "\n")
        else:
            from sweeps.spec.loading import load_pretrain_spec
            from sweeps.study.forecast import forecast

            sys.stdout.write(_as_yaml(spec.resolved()) + _search_notes(checked.space.names, fixed))
            lines = "".join(f"#   {line}\n" for line in forecast(spec, load_pretrain_spec(spec)))
            sys.stdout.write(f"# Takes:\n{lines}")
        return 0
    from sweeps.terminal.phase_lines import say_phase

    say_phase("Sweep", f"{spec.name}; loads PyTorch, Ray and MLflow", json_lines=arguments.json)
    from sweeps.engine import run_sweep
    from sweeps.outputs.live_report import LiveOutputs
    from sweeps.outputs.registered_models import register_or_warn
    from sweeps.terminal.closing_lines import print_closing_lines
    from sweeps.terminal.notice import check_notice, send_notice
    from sweeps.terminal.plain_console import plain_console
    from sweeps.tracking import ui_command

    check_notice(spec.notify)
    outputs = LiveOutputs()
    try:
        outcome = run_sweep(
            spec,
            fixed=fixed,
            fresh=arguments.fresh and not restarts(),
            json_lines=arguments.json,
            allow_changed=arguments.allow_changed,
            write_outputs=outputs.write,
            make_listener=outputs.listener,
            on_complete=register_or_warn,
        )
    except Exception as error:
        told = str(error).strip() or type(error).__name__
        send_notice(spec.notify, sweep=spec.name, state="failed", text=told)
        raise
    if outcome is None or (outcome.interrupted and is_hurried()):
        sys.stderr.write(f"{GOES_ON}\n")
        return stopped_exit_code()
    context = outcome.context
    print_closing_lines(
        plain_console(stderr=arguments.json),
        outcome.records,
        spec.objectives,
        context.folder,
        start=context.baseline,
        interface=ui_command(
            context.tracking_uri, context.folder, experiment_id=outcome.experiment_id
        ),
        is_demo=context.is_demo,
        interrupted=outcome.interrupted,
        ended_by=outcome.ended_by,
        masks=context.masks,
    )
    front = sum(record.on_front for record in outcome.records)
    complete = sum(record.state == "complete" for record in outcome.records)
    send_notice(
        spec.notify,
        sweep=context.folder.name,
        state="stopped" if outcome.interrupted else "finished",
        text=f"{complete} of {len(outcome.records)} trials complete, {front} on the front; "
        f"{context.folder / REPORT_FILE}",
    )
    return stopped_exit_code() if outcome.interrupted else 0


def _as_yaml(resolved: Mapping[str, object]) -> str:
    import yaml

    return yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True)


def _search_notes(searched: Sequence[str], fixed: Mapping[str, object]) -> str:
    """Say, as YAML comments, which of the values above a trial may change."""
    notes = []
    for name in searched:
        if name.startswith(SWITCH_PREFIX):
            continue
        if name in fixed:
            notes.append(f"#   {name}: fixed at {fixed[name]}")
        else:
            off = " (or off)" if SWITCH_PREFIX + name in searched else ""
            notes.append(f"#   {name}{off}")
    return "\n".join(["# Searched:", *notes]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
