"""Judge saved models: ``python -m sweeps.evaluate MODEL... [--suite standard] [--data NAME]``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps._command_line import add_debug, read_places, report_errors

if TYPE_CHECKING:
    from sweeps.model_evaluation import JudgedModel, Verdict, Wishes

_SUITES = ("search", "fgsm", "paper", "standard", "plus")
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
  python -m sweeps.evaluate MODEL --data isic2017 --corruptions brightness,defocus_blur,snow

MODEL is a checkpoint of a trial (file or folder), a run of MLflow, a registered model, or, with
--model, a file of weights that others trained: a state dict, a checkpoint that holds one, such as
Lightning's, or safetensors. Without --data and root= a model of a sweep is judged on the images
that it was trained on; other data without root= are the embedded stand-ins. A data set with
variants and no name of its own, such as imagenet9, stands for all of them. Figures of a model from
MLflow are written into its run.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.evaluate",
        description="Measure a saved model: clean, attacked, corrupted, on other data.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="MODEL",
        help="checkpoint, runs:/ID, models:/NAME@ALIAS or a file of weights; one or several. "
        "root=FOLDER: where the data is; storage=FOLDER: where caches, logs and MLflow's database "
        "are",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="what weights from elsewhere are: name=resnet50 and, where they do not tell, "
        "normalise=imagenet (half, none, MEANS/DEVIATIONS), image_size=224, resize, resize_size, "
        "num_classes, width, norm, stem, channels; weights=IMAGENET1K_V2 for what torchvision "
        "publishes",
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
    from sweeps import model_evaluation as judging
    from sweeps.spec.addresses import check_tracking_uri
    from sweeps.storage.bucket_mirror import local_folder
    from sweeps.tracking import default_uri

    words = [*arguments.words, *(w for w in arguments.model or () if not _is_said(w))]
    names = [word for word in dict.fromkeys(words) if "=" not in word or Path(word).exists()]
    settings = [word for word in words if word not in names]
    places = {
        name: local_folder(path).absolute()
        for name, path in read_places(settings, ("root", "storage")).items()
    }
    storage = places.get("storage", Path("runs").absolute())
    said = None
    if arguments.model is not None:
        said = judging.read_external([word for word in arguments.model if _is_said(word)])
    uri = arguments.tracking_uri or default_uri(storage)
    check_tracking_uri(uri, field="--tracking-uri")
    job = _Job(
        wishes=_wishes(arguments),
        seeds=range(arguments.seed, arguments.seed + arguments.seeds),
        data=[name for text in arguments.data for name in judging.data_sets_of(text)],
        root=places.get("root"),
        storage=storage,
        uri=uri,
        out=arguments.out,
        prints=not arguments.json,
    )
    n_verdicts = max(1, len(names)) * max(1, len(job.data)) * arguments.seeds
    judging.check_log_file(arguments.out, n_logs=n_verdicts)
    # All are opened before the first is judged, which may take hours.
    models = [judging.open_judged(name, job.uri, storage, said=said) for name in names or (None,)]
    found = {model.name: _judge(model, job) for model in models}
    if len(models) * arguments.seeds == 1:
        (described,) = (described for _, described in found.values())
        if arguments.json:
            sys.stdout.write(json.dumps(described, allow_nan=False) + "\n")
        return 0
    rows = judging.summarise({name: verdicts for name, (verdicts, _) in found.items()})
    file = storage / "evaluations" / "summary.parquet"
    judging.write_summary(rows, file)
    if arguments.json:
        told = {
            "models": [described for _, described in found.values()],
            "summary": [dataclasses.asdict(row) for row in rows],
            "file": str(file),
        }
        sys.stdout.write(json.dumps(told, allow_nan=False) + "\n")
    else:
        judging.print_summary(rows, n_seeds=arguments.seeds)
        sys.stdout.write(f"Summary {file}\n")
    return 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """What is done with each model."""

    wishes: Wishes
    seeds: Sequence[int]
    data: Sequence[str]
    root: Path | None
    storage: Path
    uri: str
    out: Path | None
    prints: bool


def _wishes(arguments: argparse.Namespace) -> Wishes:
    from hsplid_core.corruptions import CORRUPTIONS
    from hsplid_core.errors import ConfigError
    from hsplid_core.evaluation import find_suite
    from sweeps import model_evaluation as judging

    if arguments.seeds < 1:
        raise ConfigError(f"--seeds is {arguments.seeds}: use at least 1")
    analyses = [name for name in arguments.analyses.split(",") if name]
    kinds = [kind for kind in arguments.corruptions.split(",") if kind]
    takes_all = kinds == ["all"] or "corruptions" in analyses
    return judging.Wishes(
        suite=None if arguments.suite is None else find_suite(arguments.suite),
        cascade=arguments.cascade == "on",
        corruptions=sorted(CORRUPTIONS) if takes_all else kinds,
        backgrounds=arguments.backgrounds,
        analyses=[name for name in analyses if name != "corruptions"],
        pixel_seed=arguments.pixel_seed,
        split=arguments.split,
        image_size=arguments.image_size,
        max_images=arguments.max_images,
        batch_size=arguments.batch_size,
        device=judging.find_device(arguments.device),
    )


def _judge(model: JudgedModel, job: _Job) -> tuple[list[Verdict], dict[str, Any]]:
    """Judge one model on all data under all seeds, write its logs and tell MLflow."""
    from sweeps import model_evaluation as judging
    from sweeps.tracking.find_models import log_evaluation

    verdicts: list[Verdict] = []
    logs: list[Path] = []
    cases = [(name, seed) for name in job.data or [judging.own_data(model)] for seed in job.seeds]
    for name, seed in cases:
        verdict = judging.judge(
            model.trained,
            name,
            dataclasses.replace(job.wishes, seed=seed),
            root=job.root or judging.own_root(model, name),
            cache_dir=job.storage / "cache",
            told=judging.tell_progress,
        )
        verdicts.append(verdict)
        if verdict.robustness is not None:
            logs.append(judging.log_verdict(verdict, model, job.wishes, job.storage, out=job.out))
        logs += judging.write_tables(verdict, model, job.wishes, job.storage)
        if job.prints:
            judging.print_verdict(verdict)
    if model.run_id is not None:
        rows = judging.summarise({model.name: verdicts})
        log_evaluation(
            job.uri,
            model.run_id,
            metrics={f"evaluation/{row.measure}": row.spread.mean for row in rows},
            tags={name: value for v in verdicts for name, value in v.tags().items()},
            artifacts=logs,
        )
    if job.prints:
        sys.stdout.writelines(f"Log     {path}\n" for path in logs)
        if model.run_id is not None:
            sys.stdout.write(f"MLflow  written into run {model.run_id}\n")
    described = {
        "model": model.name,
        "run_id": model.run_id,
        "verdicts": [verdict.described() for verdict in verdicts],
        "logs": [str(path) for path in logs],
    }
    return verdicts, described


def _is_said(word: str) -> bool:
    """Whether a word after --model says something of the weights, and is no file nor place."""
    name, sign, _ = word.partition("=")
    return bool(sign) and name not in ("root", "storage") and not Path(word).exists()


if __name__ == "__main__":
    sys.exit(main())
