"""Judge a saved model: ``python -m sweeps.evaluate MODEL [--suite standard] [--data NAME]``."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps._command_line import report_errors

if TYPE_CHECKING:
    import torch

    from hsplid_core.evaluation import Progress
    from sweeps.model_evaluation import JudgedModel, Verdict, Wishes

_SUITES = ("search", "paper", "standard")
_EXAMPLES = """\
examples:
  python -m sweeps.evaluate runs/coco_hsplid/ray/attempt_001/trial_00001/checkpoint_000019 \\
      --suite paper
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
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None reads those of the process.

    Returns:
        The exit code: 0 done, 2 a mistake in the call, or a model or data set that cannot be had.
    """
    arguments = _parser().parse_intermixed_args(argv)
    return report_errors(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    # torch is imported from here on: --help stays quick.
    from sweeps.model_evaluation import judge, open_judged
    from sweeps.tracking import default_uri
    from sweeps.tracking.find_models import log_evaluation

    places = _places(arguments.overrides)
    storage = places.get("storage", Path("runs")).expanduser().absolute()
    wishes = _wishes(arguments)
    given = [name for text in arguments.data for name in _data_names(text)]
    _check_out(arguments.out, given)
    uri = arguments.tracking_uri or default_uri(storage)
    judged = open_judged(arguments.model, uri, storage)
    verdicts: list[Verdict] = []
    logs: list[Path] = []
    for name in given or [judged.trained.data]:
        verdict = judge(
            judged.trained,
            name,
            wishes,
            root=places.get("root"),
            cache_dir=storage / "cache",
            told=_tell,
        )
        verdicts.append(verdict)
        if verdict.robustness is not None:
            path = arguments.out or storage / "evaluations" / _log_name(judged, verdict, wishes)
            _write_log(verdict, judged, path)
            logs.append(path)
        if not arguments.json:
            _print(verdict)
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


def _tell(done: Progress) -> None:
    """Say on stderr how far it is: a strong suite takes minutes a batch."""
    from sweeps.model_evaluation import radius_text

    first = done.n_done + 1
    radii = ", ".join(
        f"{count} at {radius_text(done.norm, epsilon)}"
        for count, epsilon in zip(done.standing, done.epsilons, strict=True)
    )
    sys.stderr.write(
        f"images from {first} of {done.n_images}: {done.attack}, {done.region} ({done.norm}): "
        f"{radii} stand\n"
    )


def _places(texts: Sequence[str]) -> dict[str, Path]:
    from hsplid_core.bucket_path import any_path
    from sweeps.spec.overrides import parse_overrides
    from sweeps.storage.bucket_mirror import local_folder

    places: dict[str, Path] = {}
    for override in parse_overrides(texts):
        if override.path not in ("root", "storage") or not isinstance(override.value, str):
            raise ConfigError(
                f"override {override.path}: only root=FOLDER and storage=FOLDER can be given here"
            )
        places[override.path] = local_folder(any_path(override.value)).absolute()
    return places


def _wishes(arguments: argparse.Namespace) -> Wishes:
    from hsplid_core.config import check
    from hsplid_core.corruptions import CORRUPTIONS, find_corruption
    from hsplid_core.evaluation import find_suite
    from sweeps.model_evaluation import Wishes

    kinds = [kind for kind in arguments.corruptions.split(",") if kind]
    if kinds == ["all"]:
        kinds = sorted(CORRUPTIONS)
    for kind in kinds:
        find_corruption(kind)
    least = {"--batch-size": arguments.batch_size, "--max-images": arguments.max_images}
    check(
        (number is None or number >= 1, f"{name} is {number}: use at least 1")
        for name, number in least.items()
    )
    return Wishes(
        suite=None if arguments.suite is None else find_suite(arguments.suite),
        cascade=arguments.cascade == "on",
        corruptions=kinds,
        backgrounds=arguments.backgrounds,
        split=arguments.split,
        image_size=arguments.image_size,
        max_images=arguments.max_images,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        device=_device(arguments.device),
    )


def _device(name: str) -> torch.device:
    from hsplid_core.training import pick_device

    try:
        return pick_device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device is {name}: use auto, cpu, cuda, cuda:0 and so on") from error


def _data_names(text: str) -> list[str]:
    """Find a data set, or all variants of one; those of ImageNet's own classes are left out."""
    from hsplid_core.data import DATA_SETS

    if text in DATA_SETS:
        return [text]
    variants = [
        name for name in DATA_SETS if name.startswith(f"{text}/") and not name.endswith("_fine")
    ]
    if not variants:
        raise ConfigError(
            f"data is {text}: use one of {', '.join(DATA_SETS)}{did_you_mean(text, DATA_SETS)}"
        )
    return variants


def _check_out(path: Path | None, names: Sequence[str]) -> None:
    from sweeps.model_evaluation import ENDINGS

    if path is None:
        return
    if path.suffix not in ENDINGS:
        raise ConfigError(f"--out is {path}: use an ending of {' or '.join(ENDINGS)}")
    if len(names) > 1:
        raise ConfigError(
            f"--out is {path}, one file for {len(names)} data sets: name one data set, or leave "
            "--out away"
        )


def _log_name(judged: JudgedModel, verdict: Verdict, wishes: Wishes) -> str:
    assert verdict.robustness is not None
    weights = hashlib.sha256()
    for name, value in judged.trained.model.state_dict().items():
        weights.update(name.encode() + value.cpu().numpy().tobytes())
    parts = [verdict.data.replace("/", "-"), wishes.split, verdict.robustness.suite]
    parts += [] if wishes.cascade else ["single"]
    return "-".join([*parts, weights.hexdigest()[:12]]) + ".arrow"


def _write_log(verdict: Verdict, judged: JudgedModel, path: Path) -> None:
    from sweeps.model_evaluation import write_log

    assert verdict.robustness is not None
    facts = {"model": judged.name, "data": verdict.data, "n_images": str(verdict.n_images)}
    try:
        write_log(verdict.robustness, path, facts=facts)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def _print(verdict: Verdict) -> None:
    from rich.console import Console

    from sweeps.model_evaluation import accuracies_table, notes, robustness_table

    # A table that goes into a file or a pipe shall not be cut at 80 columns.
    width = None if sys.stdout.isatty() else max(100, int(os.environ.get("COLUMNS", 100)))
    console = Console(width=width)
    console.print(accuracies_table(verdict))
    if verdict.robustness is not None:
        console.print(robustness_table(verdict.robustness))
    for note in notes(verdict):
        console.print(note, soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
