"""Every named sweep trains: on its own embedded data, through the code that its trials run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import optuna
import pytest

from hsplid_core.data import DATA_SETS
from search_spaces import SPACES, ParameterValue
from sweeps.run import main
from sweeps.search.first_trials import first_trials
from sweeps.search.ranged_space import space_of
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.metric_names import check_metrics
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.registry import SWEEPS
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.study import load_study
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
SEARCHES_NETWORKS = "sib_"
# Everything else is what the demo section of the sweep says.
TINY = [
    "data.image_size=32",
    "model.width=0.0625",
    "training.epochs=1",
    "training.batch_size=16",
    "evaluation.steps=1",
    "evaluation.max_images=8",
    "evaluation.epsilons_255=[2]",
]
# Images to train on and to test on: a few batches, and some of every class in each split.
N_TRAIN, N_TEST = 80, 40


@pytest.fixture(scope="module", autouse=True)
def small_demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let every embedded data set be written with a few images only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, entry in DATA_SETS.items():
            small = dataclasses.replace(
                entry, demo=partial(entry.demo, n_train=N_TRAIN, n_test=N_TEST)
            )
            patch.setitem(DATA_SETS, name, small)
        yield tmp_path_factory.mktemp("cache")


def tiny_spec(name: str, cache: Path, *more: str) -> SweepSpec:
    texts = [*TINY, f"data.cache_dir={cache}", *more]
    if load_spec(name).model.name == "efficientnet_b0":  # it has one width
        texts.append("model.width=1")
    if load_spec(name).evaluation.single_pixel:
        texts += ["evaluation.single_pixel.jitters=[[0, 0]]", "evaluation.single_pixel.steps=2"]
    return load_spec(name, parse_overrides(texts))


def run(spec: SweepSpec, parameters: dict[str, ParameterValue]) -> dict[str, float]:
    trial = Trial(spec.trial_config().with_parameters(parameters))
    metrics = trial.epoch()
    assert trial.finished
    for objective in spec.objectives:
        assert math.isfinite(metrics[objective.metric])
    assert math.isfinite(metrics["train/loss"])
    # Whatever a trial reports, a spec may name.
    named = {name: name for name in metrics}
    check_metrics(named, list(spec.method), spec.data, spec.evaluation)
    return metrics


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_first_trial_and_a_random_one(name: str, small_demos: Path) -> None:
    spec = tiny_spec(name, small_demos)
    assert load_pretrain_spec(spec) is None or spec.pretrain in SWEEPS
    space = space_of(spec)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for enqueued in first_trials(spec, {})[:1]:
        study.enqueue_trial(enqueued)
    for _ in range(2):
        run(spec, space(study.ask()))


def published(space: str) -> list[dict[str, ParameterValue]]:
    return [{**SPACES[space].paper, **other} for other in SPACES[space].others]


def published_recipe(name: str, cache: Path) -> SweepSpec:
    """What a sweep does on real data, on a stand-in that is taken for it."""
    root = DATA_SETS[load_spec(name).data.name].demo(cache, 32)
    return tiny_spec(name, cache, f"data.root={root}")


@pytest.mark.parametrize("parameters", published("baselines"), ids=lambda p: p["recipe"])
def test_every_method_of_the_table_by_the_published_recipe(
    parameters: dict[str, ParameterValue], small_demos: Path
) -> None:
    spec = published_recipe("coco_baselines", small_demos)
    assert (spec.data.resize, spec.training.augmentation.solarise) == ("stretch", 0.2)
    metrics = run(spec, parameters)
    parts = str(parameters["recipe"]).split("+")
    terms = {name.split("/")[1] for name in metrics if name.startswith("train/") and "/" in name}
    assert terms - {"loss", "learning_rate", "seconds"} == set(parts)


def test_two_digits_by_the_published_recipe(small_demos: Path) -> None:
    spec = published_recipe("cmnist_hsplid", small_demos)
    assert (spec.pretrain, spec.training.augmentation.shear) == (None, 8)
    metrics = run(spec, dict(SPACES["hsplid_cmnist"].paper))
    assert metrics["train/learning_rate"] == 1e-5
    # So small a step changes next to nothing: as many answers are right as of a random network.
    assert metrics["val/accuracy"] < 0.5


@pytest.mark.parametrize(
    "parameters", published("sib_architectures"), ids=lambda p: p["model.name"]
)
def test_every_network(parameters: dict[str, ParameterValue], small_demos: Path) -> None:
    metrics = run(tiny_spec("sib_cifar", small_demos), parameters)
    assert metrics["train/sib/background_variance"] >= 0


def test_the_composition_with_everything_on(small_demos: Path) -> None:
    spec = tiny_spec("coco_hsplid", small_demos, "search.space=hsplid_composed")
    paper = SPACES["hsplid_composed"].paper
    on = {"method.sib.lambda_fg": 0.01, "method.sib.lambda_bg": 1e3}
    on["method.norm_adversarial.epsilon"] = 0.01
    plain, composed = run(spec, dict(paper)), run(spec, {**paper, **on})
    assert not [name for name in plain if name.startswith("train/sib/")]
    assert len([name for name in composed if name.startswith("train/sib/")]) == 2
    # The adversarial images are harder.
    loss = "train/cross_entropy/loss"
    assert composed[loss] > plain[loss]


OWN_METHOD = """
name: own
data: {name: cifar10, image_size: 32}
model: {width: 0.0625}
method:
  cross_entropy:
  my_methods:FeatureNorm:
training: {epochs: 1, batch_size: 64}
evaluation: {region: full, epsilons_255: [2], steps: 1, max_images: 8}
search: {space: "my_methods:space"}
trials: 2
resources: {max_concurrent: 1}
"""


def readme_method() -> str:
    """The method that README shows, word for word."""
    text = (ROOT / "README.md").read_text()
    return text.split("```python\n", 1)[1].split("```", 1)[0]


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
def test_a_method_of_ones_own_through_ray(
    tmp_path: Path,
    ray_address: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    method = readme_method()
    assert len([line for line in method.splitlines() if line.strip()]) <= 20
    (tmp_path / "my_methods.py").write_text(method)
    (tmp_path / "own.yaml").write_text(OWN_METHOD)

    monkeypatch.syspath_prepend(tmp_path)  # what python -m does with the folder it is called in
    monkeypatch.chdir(tmp_path)
    path = "method.my_methods:FeatureNorm.weight"
    for slip, says in (
        (f"{path}=-1", "weight is -1"),
        (f"{path}x=1", "has no weightx, only"),
        ("model.name=squeezenet1_1", "squeezenet1_1 has one width only"),
    ):
        assert main(["own.yaml", slip]) == 2
        assert says in capsys.readouterr().err
    assert main(["own.yaml", f"{path}=0.25", f"cluster.address={ray_address}"]) == 0
    trials = load_study(tmp_path / "runs" / "own").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    for trial in trials:
        assert trial.user_attrs["parameters"][path] == 0.25
        assert trial.user_attrs["metrics"]["train/FeatureNorm/length"] > 0
