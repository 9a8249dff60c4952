"""Judge a saved model: ``python -m sweeps.evaluate MODEL [--suite standard] [--data NAME]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps._command_line import add_debug, read_places, report_errors

if TYPE_CHECKING:
    from sweeps.model_evaluation import Verdict

_SUITES = ("search", "paper", "standard")
_EXAMPLES = """\
examples:
  python -m sweeps.evaluate \\
      runs/coco_hsplid/ray/attempt_001_5a0c1e2f/trial_00001/checkpoint_000019 --suite paper
  python -m sweeps.evaluate runs:/ID --suite standard --data coco_animals root=/data/coco
  python -m sweeps.evaluate models:/coco_hsplid@knee --suite paper --cascade off --out log.arrow
  python -m sweeps.evaluate MODEL --data imagenet9 --data counter_animal root=/data/shift
  python -m sweeps.evaluate MODEL --data isic2017 --corruptions brightness,defocus_blur,occlusion

MODEL is a checkpoint of a trial (file or folder), a run of MLflow, or a registered model. A data
set with variants and no name of its own, such as imagenet9, stands for all of them. Without root=
the embedded stand-ins are used. Figures of a model from MLflow are written into its run.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.evaluate",
        description="Measure a saved model: clean, attacked, corrupted, on other data.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="checkpoint, runs:/ID or models:/NAME@ALIAS"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="root=FOLDER",
        help="where the data is; storage=FOLDER: where caches, logs and MLflow's database are",
    )
    parser.add_argument("--suite", choices=_SUITES, help="attacks; without it none")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME[/VARIANT]",
        help="data set, by default the one that the model was trained on; may be given again",
    )
    parser.add_argument("--split", choices=("test", "val", "train"), default="test")
    parser.add_argument(
        "--cascade",
        choices=("on", "off"),
        default="on",
        help="off attacks every cell on its own, as published tables do",
    )
    parser.add_argument(
        "--corruptions",
        default="",
        metavar="KINDS",
        help="kinds with commas, or all; outside the object where there are masks",
    )
    parser.add_argument(
        "--backgrounds", action="store_true", help="swapped, flat and blurred backgrounds"
    )
    parser.add_argument("--image-size", type=int, help="side in pixels; the model's by default")
    parser.add_argument("--max-images", type=int, help="judge only so many images")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:0 ...")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow's server or database")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="per-sample log (.arrow or .parquet); by default STORAGE/evaluations/...arrow",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_debug(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, or a model or data set that cannot be had.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    # torch is imported from here on: --help stays quick.
    from hsplid_core.corruptions import CORRUPTIONS
    from hsplid_core.evaluation import find_suite
    from sweeps import model_evaluation as judging
    from sweeps.spec.addresses import check_tracking_uri
    from sweeps.storage.bucket_mirror import local_folder
    from sweeps.tracking import default_uri
    from sweeps.tracking.find_models import log_evaluation

    places = {
        name: local_folder(path).absolute()
        for name, path in read_places(arguments.overrides, ("root", "storage")).items()
    }
    storage = places.get("storage", Path("runs").absolute())
    kinds = [kind for kind in arguments.corruptions.split(",") if kind]
    wishes = judging.Wishes(
        suite=None if arguments.suite is None else find_suite(arguments.suite),
        cascade=arguments.cascade == "on",
        corruptions=sorted(CORRUPTIONS) if kinds == ["all"] else kinds,
        backgrounds=arguments.backgrounds,
        split=arguments.split,
        image_size=arguments.image_size,
        max_images=arguments.max_images,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        device=judging.find_device(arguments.device),
    )
    given = [name for text in arguments.data for name in judging.data_sets_of(text)]
    judging.check_log_file(arguments.out, n_data_sets=len(given))
    uri = arguments.tracking_uri or default_uri(storage)
    check_tracking_uri(uri, field="--tracking-uri")
    judged = judging.open_judged(arguments.model, uri, storage)
    verdicts: list[Verdict] = []
    logs: list[Path] = []
    for name in given or [judged.trained.data]:
        verdict = judging.judge(
            judged.trained,
            name,
            wishes,
            root=places.get("root"),
            cache_dir=storage / "cache",
            told=judging.tell_progress,
        )
        verdicts.append(verdict)
        if verdict.robustness is not None:
            logs.append(judging.log_verdict(verdict, judged, wishes, storage, out=arguments.out))
        if not arguments.json:
            judging.print_verdict(verdict)
    if judged.run_id is not None:
        log_evaluation(
            uri,
            judged.run_id,
            metrics={name: value for v in verdicts for name, value in v.metrics().items()},
            tags={name: value for v in verdicts for name, value in v.tags().items()},
            artifacts=logs,
        )
    if arguments.json:
        described = {
            "model": judged.name,
            "run_id": judged.run_id,
            "verdicts": [verdict.described() for verdict in verdicts],
            "logs": [str(path) for path in logs],
        }
        sys.stdout.write(json.dumps(described, allow_nan=False) + "\n")
    else:
        sys.stdout.writelines(f"Log     {path}\n" for path in logs)
        if judged.run_id is not None:
            sys.stdout.write(f"MLflow  written into run {judged.run_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
