"""Judge saved models: ``python -m sweeps.evaluate MODEL... [--suite standard] [--data NAME]``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps._command_line import command_parser, read_places, report_errors, trial_numbers

if TYPE_CHECKING:
    from hsplid_core.models.external import ExternalModel
    from sweeps.model_evaluation import Job, Judged, JudgedModel, Wishes

READING = ("classes", "split", "mask_values", "boxes_as_masks")
"""Fields of a sweep's section data that the command line may say."""

_SUITES = ("search", "fgsm", "paper", "standard", "plus")
# What a run in MLflow is to say of the command line.
_ASKED = (
    *("suite", "split", "cascade", "corruptions", "analyses", "margins"),
    *("max_images", "seed", "seeds"),
)
_EXAMPLES = """\
examples:
  python -m sweeps.evaluate \\
      runs/coco_hsplid/ray/attempt_001_5a0c1e2f/trial_00001/checkpoint_000019 --suite paper
  python -m sweeps.evaluate runs:/ID --suite standard --data coco_animals root=/data/coco
  python -m sweeps.evaluate models:/coco_hsplid@knee --suite paper --cascade off --out log.arrow
  python -m sweeps.evaluate MODEL --data imagenet9 --data counter_animal root=/data/shift
  python -m sweeps.evaluate theirs.pt --data cifar10 root=/data/cifar --suite standard \\
      --model name=resnet18 normalise=imagenet image_size=32
  python -m sweeps.evaluate --model name=resnet50 weights=IMAGENET1K_V2 --data imagenet9
  python -m sweeps.evaluate a.pt b.pt c.pt --seeds 5 --analyses margins,saliency
  python -m sweeps.evaluate coco_hsplid --trials 4,7 --suite paper
  python -m sweeps.evaluate theirs.pt --data coco root=my_export 'classes=[cat, dog]' \\
      --model name=timm/convnext_tiny normalise=imagenet image_size=224
  python -m sweeps.evaluate MODEL --data isic2017 --corruptions brightness,defocus_blur,snow

MODEL is a checkpoint of a trial (file or folder), a sweep, which stands for its front or --trials,
a run of MLflow, a registered model, or, with --model, a file of weights that others trained: a
state dict, a checkpoint that holds one, such as Lightning's, or safetensors. Without --data and
root= a model of a sweep is judged on the images that it was trained on; other data without root=
are the embedded stand-ins. A data set with variants and no name of its own, such as imagenet9,
stands for all of them.

Several models or seeds end in a summary: a table, Parquet and a page in STORAGE/evaluations.
MLflow gets the figures in the run that a model comes from; any other model gets a run in the
experiment evaluations, where --tracking-uri names an MLflow, or the storage has one.
"""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "sweeps.evaluate",
        "Measure a saved model: clean, attacked, corrupted, on other data.",
        _EXAMPLES,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="MODEL",
        help="checkpoint, sweep, runs:/ID, models:/NAME@ALIAS or a file of weights; one or "
        "several. root=FOLDER: where the data is; storage=FOLDER: where caches, logs and MLflow's "
        "database are; classes, split, mask_values, boxes_as_masks: how the data is read, as a "
        "sweep's section data says it",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="what weights from elsewhere are: name=resnet50, or timm/NAME where timm is "
        "installed, and, where they do not tell, normalise=imagenet (half, none, data, "
        "MEANS/DEVIATIONS), image_size=224, resize, resize_size, num_classes, width, norm, stem, "
        "channels, transform, bandwidth; weights=IMAGENET1K_V2 for what torchvision or timm "
        "publishes",
    )
    parser.add_argument(
        "--trials",
        type=trial_numbers,
        default=(),
        metavar="N,N",
        help="trials of a sweep, instead of its front",
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
        "--analyses",
        default="",
        metavar="NAMES",
        help="margins, saliency, single_pixel and corruptions (all of them), with commas",
    )
    parser.add_argument(
        "--margins",
        default="",
        metavar="KEY=VALUE,...",
        help="margins with settings of a sweep's evaluation.margins, such as size=16,step=16",
    )
    parser.add_argument(
        "--pixel-seed", type=int, default=0, help="of the planted pixel that single_pixel needs"
    )
    parser.add_argument(
        "--backgrounds", action="store_true", help="swapped, flat and blurred backgrounds"
    )
    parser.add_argument("--image-size", type=int, help="side in pixels; the model's by default")
    parser.add_argument("--max-images", type=int, help="judge only so many images")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of attacks and random regions (0)")
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="judge under N such seeds, from --seed on",
    )
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
    return report_errors(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> int:
    # torch is imported from here on: --help stays quick.
    from sweeps import model_evaluation as judging

    words = [*arguments.words, *(w for w in arguments.model or () if not _is_said(w))]
    names = [word for word in dict.fromkeys(words) if "=" not in word or Path(word).exists()]
    job = _job(arguments, [word for word in words if word not in names])
    said = None
    if arguments.model is not None:
        said = judging.read_external([word for word in arguments.model if _is_said(word)])
        job = dataclasses.replace(job, settings={**job.settings, **_told(said)})
    # All are opened before the first is judged, which may take hours.
    models = [
        model
        for name in names or (None,)
        for model in _open(name, job.uri, job.storage, said, arguments.trials)
    ]
    n_verdicts = len(models) * max(1, len(job.data)) * arguments.seeds
    judging.check_log_file(arguments.out, n_logs=n_verdicts)
    found = [judging.judge_model(model, job) for model in models]
    if len(models) * arguments.seeds > 1:
        _sum_up(found, job)
    elif not job.prints:
        sys.stdout.write(json.dumps(found[0].described(), allow_nan=False) + "\n")
    return 0


def _job(arguments: argparse.Namespace, words: Sequence[str]) -> Job:
    """Read the command line, all but which models it is about."""
    from sweeps import model_evaluation as judging
    from sweeps.spec.addresses import check_tracking_uri
    from sweeps.storage.bucket_mirror import local_folder
    from sweeps.tracking import default_uri
    from sweeps.tracking.evaluation_runs import is_recorded

    reading = judging.read_reading([word for word in words if _is_reading(word)])
    others = [word for word in words if not _is_reading(word)]
    places = {
        name: local_folder(path).absolute()
        for name, path in read_places(others, ("root", "storage")).items()
    }
    storage = places.get("storage", Path("runs").absolute())
    uri = arguments.tracking_uri or default_uri(storage)
    check_tracking_uri(uri, field="--tracking-uri")
    return judging.Job(
        wishes=_wishes(arguments, reading),
        seeds=range(arguments.seed, arguments.seed + arguments.seeds),
        data=[name for text in arguments.data for name in judging.data_sets_of(text)],
        root=places.get("root"),
        storage=storage,
        uri=uri,
        recorded=is_recorded(uri, asked_for=arguments.tracking_uri is not None),
        settings={
            **{name: value for name in _ASKED if (value := getattr(arguments, name))},
            **{f"data.{name}": value for name, value in reading.items()},
        },
        out=arguments.out,
        prints=not arguments.json,
    )


def _told(said: ExternalModel) -> dict[str, object]:
    fields = dataclasses.asdict(said).items()
    return {f"model.{name}": value for name, value in fields if value is not None}


def _open(
    name: str | None,
    uri: str,
    storage: Path,
    said: ExternalModel | None,
    trials: Sequence[int],
) -> list[JudgedModel]:
    from hsplid_core.errors import ConfigError
    from sweeps import model_evaluation as judging

    if said is None and name is not None and judging.is_sweep(name, storage):
        return judging.open_sweep_models(name, trials, storage)
    if trials:
        raise ConfigError(
            f"--trials is given, and {name} is no sweep in {storage}: name one, or leave it away"
        )
    return [judging.open_judged(name, uri, storage, said=said)]


def _wishes(arguments: argparse.Namespace, reading: Mapping[str, Any]) -> Wishes:
    from hsplid_core.corruptions import CORRUPTIONS
    from hsplid_core.errors import ConfigError
    from hsplid_core.evaluation import find_suite
    from sweeps import model_evaluation as judging

    if arguments.seeds < 1:
        raise ConfigError(f"--seeds is {arguments.seeds}: use at least 1")
    analyses = [name for name in arguments.analyses.split(",") if name]
    if arguments.margins and "margins" not in analyses:
        analyses.append("margins")
    kinds = [kind for kind in arguments.corruptions.split(",") if kind]
    takes_all = kinds == ["all"] or "corruptions" in analyses
    return judging.Wishes(
        suite=None if arguments.suite is None else find_suite(arguments.suite),
        cascade=arguments.cascade == "on",
        corruptions=sorted(CORRUPTIONS) if takes_all else kinds,
        backgrounds=arguments.backgrounds,
        analyses=[name for name in analyses if name != "corruptions"],
        margins=judging.read_margins(arguments.margins),
        pixel_seed=arguments.pixel_seed,
        split=arguments.split,
        reading=reading,
        image_size=arguments.image_size,
        max_images=arguments.max_images,
        batch_size=arguments.batch_size,
        device=judging.find_device(arguments.device),
    )


def _sum_up(found: Sequence[Judged], job: Job) -> None:
    """Write the summary of several models or seeds, and show it."""
    from sweeps import model_evaluation as judging
    from sweeps.outputs.evaluation_page import write_evaluation

    judged = {each.model: each.verdicts for each in found}
    rows = judging.summarise(judged)
    table = judging.summary_file(rows, job.seeds, job.storage)
    page = table.with_suffix(".html")
    judging.write_summary(rows, table)
    settings = {name: str(value) for name, value in job.settings.items()}
    files = [file for each in found for file in each.files]
    write_evaluation(page, judged, rows, settings, files)
    runs = [each.run_id for each in found if each.run_id is not None]
    judging.record_files(job.uri, runs, [table, page])
    if job.prints:
        judging.print_summary(rows, n_seeds=len(job.seeds))
        sys.stdout.write(f"Summary {table}\nPage    {page}\n")
        return
    told = {
        "models": [each.described() for each in found],
        "summary": [dataclasses.asdict(row) for row in rows],
        "file": str(table),
        "page": str(page),
    }
    sys.stdout.write(json.dumps(told, allow_nan=False) + "\n")


def _is_reading(word: str) -> bool:
    return word.partition("=")[0].removeprefix("data.") in READING


def _is_said(word: str) -> bool:
    """Whether a word after --model says something of the weights, and is no file nor place."""
    name, sign, _ = word.partition("=")
    elsewhere = name in ("root", "storage") or _is_reading(word) or Path(word).exists()
    return bool(sign) and not elsewhere


if __name__ == "__main__":
    sys.exit(main())
