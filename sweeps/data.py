"""Get data sets ready: ``python -m sweeps.data list|fetch|check|build NAME [key=value ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sweeps._command_line import command_parser, report_errors

_EXAMPLES = """\
examples:
  python -m sweeps.data list
  python -m sweeps.data fetch coco_animals root=/data/coco
  python -m sweeps.data fetch mnist mirror=http://localhost:8000
  python -m sweeps.data check coco_animals root=/data/coco
  python -m sweeps.data build coco_animals root=/data/coco image_size=224
  python -m sweeps.data check coco root=my_export 'classes=[cat, dog]' boxes_as_masks=true

Without root=, a data set lies in data/NAME; build takes the embedded demo if it is not there.
fetch and build go on where they were stopped. Settings:
  list   root=FOLDER of all data sets
  fetch  root=FOLDER mirror=URL connections=8
  check  root=FOLDER workers=CORES
  build  root=FOLDER cache_dir=runs/cache image_size=224 workers=CORES
check and build take the fields of a sweep's section data that say how files are read:
  classes=[CLASS, CLASS] mask_values=[VALUE, FIRST-LAST] boxes_as_masks=false
"""
COMMANDS = ("list", "fetch", "check", "build")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.data",
        "List data sets, download them, check their files, decode them into caches.",
        _EXAMPLES,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a data set of the list")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    parser.add_argument(
        "--again", action="store_true", help="fetch also what is there, in place of it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 1 a check with findings, 2 anything else that went wrong; 130 if
        stopped with Ctrl-C.
    """
    parser = _parser()
    arguments = parser.parse_intermixed_args(argv)
    settings = list(arguments.settings)
    if arguments.command == "list" and arguments.name is not None:
        settings.insert(0, arguments.name)
    elif arguments.command != "list" and (arguments.name is None or "=" in arguments.name):
        parser.error(f"name a data set: python -m sweeps.data {arguments.command} NAME; see list")
    # Importing torch takes seconds: --help and a slip in the call are answered before.
    from sweeps.data_sets import actions

    def run() -> int:
        return actions.run(
            arguments.command,
            arguments.name,
            settings,
            again=arguments.again,
            as_json=arguments.json,
        )

    try:
        return report_errors(run, debug=arguments.debug)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
