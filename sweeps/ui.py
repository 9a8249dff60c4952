"""Look at a sweep in MLflow's UI or Optuna's: ``python -m sweeps.ui NAME [storage=FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps._command_line import open_named, report_errors, sweep_parser

_EXAMPLES = """\
examples:
  python -m sweeps.ui coco_hsplid
  python -m sweeps.ui coco_hsplid --open
  python -m sweeps.ui coco_hsplid storage=/data/runs --port 5000
  python -m sweeps.ui coco_hsplid --optuna

The page compares the trials by the objectives. Control-C ends the UI. A sweep that was recorded
by a tracking server needs no UI of its own: the address of its page is printed.
"""


def _parser() -> argparse.ArgumentParser:
    parser = sweep_parser(
        "sweeps.ui", "Start MLflow's UI on this machine, on the trials of a sweep.", _EXAMPLES
    )
    parser.add_argument(
        "--optuna", action="store_true", help="Optuna's dashboard on the same study, read-only"
    )
    parser.add_argument("--port", type=int, metavar="N", help="by default one that is free")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done or ended by the user, 2 a mistake in the call, a sweep that is not
        in MLflow, or a UI that does not start.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    # MLflow takes seconds to import: --help needs none of it.
    import webbrowser

    from sweeps.tracking.tracking_uri import is_server
    from sweeps.tracking.ui_server import running_ui
    from sweeps.tracking.ui_view import share_view
    from sweeps.trials.labels import shared_parameters

    sweep = open_named(arguments, complete=False)
    if arguments.optuna:
        return _optuna(sweep.folder, port=arguments.port, opens=arguments.open)
    uri = sweep.recording.uri
    page = share_view(
        sweep.recording,
        objectives=[objective.metric for objective in sweep.objectives],
        parameters=shared_parameters(sweep.records),
    )

    def show(base: str) -> None:
        sys.stdout.write(f"{base.rstrip('/')}{page}\n")
        sys.stdout.flush()
        if arguments.open:
            webbrowser.open(f"{base.rstrip('/')}{page}")

    if is_server(uri):
        show(uri)
        return 0
    with running_ui(uri, port=arguments.port) as ui:
        show(ui.address)
        sys.stderr.write("MLflow's UI runs until you press Control-C.\n")
        ui.wait()
    return 0


def _optuna(folder: Path, *, port: int | None, opens: bool) -> int:
    import webbrowser

    from sweeps.study.dashboard import dashboard

    server, address = dashboard(folder, port=port)
    with server:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stderr.write("Optuna's dashboard runs until you press Control-C.\n")
        if opens:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
