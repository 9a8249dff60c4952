from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from hsplid_core.config import TrainingConfig
from hsplid_core.config.augmentation import AugmentationConfig
from hsplid_core.data import DATA_SETS
from hsplid_core.errors import ConfigError
from hsplid_core.methods import (
    CrossEntropyConfig,
    HsplidConfig,
    NormAdversarialConfig,
    Shape,
    SibConfig,
    build_objective,
)
from sweeps.search.checks import check_sweep
from sweeps.search.space_probe import probe_space
from sweeps.spec.find_space import find_space
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.objective import Objective
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.registry import SWEEPS, find_sweep
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.validation import renamed, validated
from sweeps.spec.yaml_reader import parse_yaml, read_mapping

MINIMAL: dict[str, Any] = {
    "name": "tiny",
    "method": {"cross_entropy": None},
    "search": {"space": "pretrain"},
    "trials": 1,
}

WriteSpec = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteSpec:
    def written(**sections: object) -> str:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**MINIMAL, **sections}, sort_keys=False))
        return str(path)

    return written


def faults(name: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_spec(name, parse_overrides(overrides))
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith(f"sweep {name} has {len(lines)} fault")
    return [line.strip() for line in lines]


# -- the sweeps that come with the package --------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SWEEPS))
@pytest.mark.parametrize("root", [[], ["data.root=/somewhere"]])
def test_a_registered_sweep_loads_and_its_space_fits(name: str, root: list[str]) -> None:
    spec = load_spec(name, parse_overrides(root))
    assert spec.name == name
    assert probe_space(spec).names
    assert load_pretrain_spec(spec) is None or spec.pretrain in SWEEPS


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_the_header_of_a_registered_sweep_says_what_a_reader_needs(name: str) -> None:
    header = find_sweep(name).spec.read_text().split("\n\nname:")[0]
    assert "python -m sweeps.run " in header
    assert name in header
    for word in ("Reproduces:", "Cost:", "Data:"):
        assert word in header


@pytest.mark.parametrize("name", ["coco_hsplid", "coco_hsplid_paper"])
def test_on_real_data_coco_hsplid_has_the_papers_values(name: str) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/coco"]))
    off = {
        "sib": SibConfig(lambda_fg=0.0, lambda_bg=0.0),
        "norm_adversarial": NormAdversarialConfig(mode="l1", epsilon=0.0),
    }
    assert spec.method == {
        "cross_entropy": CrossEntropyConfig(weight=10.0),
        "hsplid": HsplidConfig(),
        **(off if name == "coco_hsplid" else {}),
    }
    objective = build_objective(spec.method, Shape(4, 512, 10, 256))
    assert list(objective.terms) == ["cross_entropy", "hsplid"]
    assert objective.perturbation is None
    assert spec.search.space == ("hsplid" if name == "coco_hsplid_paper" else "hsplid_composed")
    plain = dataclasses.replace(spec.training, augmentation=AugmentationConfig())
    assert plain == TrainingConfig()
    assert (spec.training.epochs, spec.training.batch_size) == (200, 256)
    assert (spec.model.name, spec.model.norm, spec.model.width) == ("resnet18", "none", 1.0)
    assert (spec.data.image_size, spec.data.val_fraction) == (224, 0.2)
    assert spec.evaluation.epsilons_255 == (1.0, 2.0, 3.0)
    pretrain = load_pretrain_spec(spec)
    assert pretrain is not None
    assert (pretrain.training.epochs, pretrain.training.learning_rate) == (100, 5e-4)


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_dumped_spec_loads_as_an_equal_one(name: str, tmp_path: Path) -> None:
    spec = load_spec(name, parse_overrides(["training.learning_rate=1e-5"]))
    path = tmp_path / "dumped.yaml"
    path.write_text(yaml.safe_dump(spec.resolved()))
    again = load_spec(str(path))
    assert again == spec
    assert again.resolved() == spec.resolved()


@pytest.mark.parametrize(
    ("given", "most", "front_alone", "written"),
    [("3", 3, False, 3), ("{front: 3}", 3, True, {"front": 3}), ("1", 1, False, 1)],
)
def test_replicates_are_a_number_or_those_of_the_front(
    given: str, most: int, front_alone: bool, written: object
) -> None:
    texts = ["seed=7", f"search.replicates={given}"]
    spec = load_spec("coco_hsplid", parse_overrides(texts))
    assert (spec.search.replicates.most, spec.search.replicates.front_alone) == (most, front_alone)
    assert list(spec.seeds) == list(range(7, 7 + most))
    assert spec.resolved()["search"]["replicates"] == written


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["search.replicates={every: 2, front: 3}"], r"replicates\.front is 3: give it alone"),
        (
            [
                "search.replicates=2",
                "search.scheduler=asha",
                "objectives=[{metric: val/accuracy}]",
            ],
            "search.scheduler is asha: it would compare the seeds of one trial",
        ),
        (
            ["search.replicates=2", "seed=4294967295"],
            "seed is 4294967295: search.replicates",
        ),
        (["search.replicates=2", "search.space=seeds"], "search.space seeds searches seed, and"),
    ],
)
def test_replicates_that_do_not_fit_are_refused(texts: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        probe_space(load_spec("coco_hsplid", parse_overrides(texts)))


def test_pretraining_takes_over_what_must_fit_the_sweep() -> None:
    texts = ["data.image_size=32", "model.width=0.5", "seed=3", "storage=/s", "resources.cpu=2"]
    spec = load_spec("coco_hsplid", parse_overrides([*texts, "training.device=cpu"]))
    pretrain = load_pretrain_spec(spec)
    assert pretrain is not None
    for name in ("data", "model", "seed", "storage", "resources", "cluster", "tracking"):
        assert getattr(pretrain, name) == getattr(spec, name)
    assert pretrain.training.device == "cpu"
    assert pretrain.training.epochs == load_spec("coco_pretrain").training.epochs
    assert list(pretrain.method) == ["cross_entropy"]


def test_a_small_run_has_the_demos_sizes_and_its_own_images() -> None:
    real = parse_overrides(["data.root=/data/coco"])
    small, demo = load_spec("coco_hsplid", real, small=True), load_spec("coco_hsplid")
    assert small.training == demo.training
    assert (small.model, small.evaluation, small.trials) == (demo.model, demo.evaluation, 5)
    assert small.data == dataclasses.replace(
        load_spec("coco_hsplid", real).data, image_size=demo.data.image_size
    )
    pretrain, of_demo = load_pretrain_spec(small), load_pretrain_spec(demo)
    assert pretrain is not None
    assert of_demo is not None
    assert pretrain.training == of_demo.training
    assert pretrain.data == small.data
    again = validated(small.resolved(), source="spec.yaml")  # as a sweep goes on by its folder
    assert load_pretrain_spec(again) == pretrain


def test_what_is_pretrained_can_be_changed_and_nothing_that_must_fit() -> None:
    spec = load_spec("coco_hsplid", parse_overrides(["pretrain.training.epochs=1"]))
    pretrain = load_pretrain_spec(spec)
    assert pretrain is not None
    assert (pretrain.training.epochs, spec.training.epochs) == (1, 20)
    (line,) = faults("coco_hsplid", "pretrain.data.image_size=3")
    assert line.startswith("pretraining.data is given: of the sweep that pretrain names only")
    (line,) = faults("coco_hsplid", "pretrain=null", "pretrain.training.epochs=1")
    assert line == "pretraining is given, but pretrain is null: leave it out"
    slip = load_spec("coco_hsplid", parse_overrides(["pretrain.training.epoch=1"]))
    with pytest.raises(ConfigError, match=r"training\.epoch \(1\) is no key.*training\.epochs\?"):
        load_pretrain_spec(slip)


@pytest.mark.parametrize(
    ("pretrain", "says"),
    [
        ("coco_pretrian", "pretrain is 'coco_pretrian': sweep coco_pretrian is unknown"),
        ("coco_hsplid", "only one stage of pretraining is supported"),
    ],
)
def test_an_impossible_pretraining_is_refused(pretrain: str, says: str) -> None:
    spec = load_spec("coco_hsplid", parse_overrides([f"pretrain={pretrain}"]))
    with pytest.raises(ConfigError, match=says):
        load_pretrain_spec(spec)


# -- which value wins -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "epochs", "batch_size", "trials"),
    [
        ([], 2, 256, 9),
        (["training.epochs=5"], 5, 256, 9),
        (["data.root=/x"], 100, 256, 50),
        (["data.root=/x", "training.epochs=5"], 5, 256, 50),
        (["data={root: /x}"], 100, 256, 50),
        (["data.root=null", "trials=7"], 2, 256, 7),
    ],
)
def test_overrides_win_over_the_demo_section_and_that_over_the_rest(
    write: WriteSpec, texts: list[str], epochs: int, batch_size: int, trials: int
) -> None:
    demo = {"training": {"epochs": 2}, "trials": 9}
    name = write(training={"epochs": 100}, trials=50, demo=demo)
    spec = load_spec(name, parse_overrides(texts))
    assert (spec.training.epochs, spec.training.batch_size, spec.trials) == (
        epochs,
        batch_size,
        trials,
    )


def test_a_root_in_the_file_switches_the_demo_section_off(write: WriteSpec) -> None:
    name = write(data={"root": "/x"}, demo={"trials": 9})
    assert load_spec(name).trials == 1
    assert load_spec(name, parse_overrides(["data.root=null"])).trials == 9


def test_what_the_demo_section_alone_has_can_be_taken_out(write: WriteSpec) -> None:
    name = write(demo={"search": {"seed": 22}})
    assert load_spec(name).search.seed == 22
    assert load_spec(name, parse_overrides(["~search.seed"])).search.seed == 0
    with pytest.raises(ConfigError, match=r"override ~search.seed: there is no such key"):
        load_spec(name, parse_overrides(["~search.seed", "data.root=/x"]))


def test_a_demo_section_must_be_a_section(write: WriteSpec) -> None:
    with pytest.raises(ConfigError, match="demo is 3, write a section"):
        load_spec(write(demo=3))


# -- from YAML to typed values --------------------------------------------------------------------


def test_yaml_becomes_the_types_of_the_configs(write: WriteSpec) -> None:
    spec = load_spec(
        write(
            data={"root": "/x", "cache_dir": "y"},
            evaluation={"epsilons_255": [1, 2.5], "max_images": None},
            method={"hsplid": {"hsic_warmup": 3, "sigma": None}, "cross_entropy": None},
            objectives=[{"metric": "train/loss", "direction": "minimize"}],
        )
    )
    assert spec.data.root == Path("/x")
    assert spec.data.cache_dir == Path("y")
    assert spec.evaluation.epsilons_255 == (1.0, 2.5)
    assert spec.method == {
        "hsplid": HsplidConfig(hsic_warmup=3, sigma=None),
        "cross_entropy": CrossEntropyConfig(),
    }
    assert spec.objectives == (Objective(metric="train/loss", direction="minimize"),)


def test_a_spec_can_be_made_of_configs() -> None:
    method = {"hsplid": HsplidConfig(rho_s=0.1)}
    spec = SweepSpec(name="a", method=method, search=SearchSpec(space="hsplid"), trials=1)
    assert spec.method == method
    with pytest.raises(ValidationError, match="frozen"):
        spec.trials = 2


def test_a_method_of_ones_own_is_found_by_its_class(write: WriteSpec) -> None:
    name = "hsplid_core.methods.cross_entropy:CrossEntropyConfig"
    spec = load_spec(write(method={name: {"weight": 2}}))
    assert spec.method == {name: CrossEntropyConfig(weight=2.0)}


def test_a_trial_knows_its_folders_wherever_it_runs(write: WriteSpec, tmp_path: Path) -> None:
    config = load_spec(write(storage=str(tmp_path / "runs"))).trial_config(Path("w.pt"))
    assert config.data.root is None
    assert config.data.cache_dir == tmp_path / "runs" / "cache"
    assert config.initial_weights == Path("w.pt")
    spec = load_spec(write(data={"root": "~/coco", "cache_dir": "c"}))
    data = spec.trial_config().data
    assert data.root == Path.home() / "coco"
    assert data.cache_dir == Path("c").absolute()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML"),
        ("a: 1\na: 2", "the key a is given twice"),
        ("- a", "holds no keys"),
        ("", "holds no keys"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_mapping(path)


def test_anchors_may_be_merged_and_replaced() -> None:
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3"
    assert parse_yaml(text)["other"] == {"a": 1, "b": 3}


# -- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "line"),
    [
        # types
        ("training.epochs=many", 'training.epochs is "many": use an integer'),
        ("training.epochs=1.5", "training.epochs is 1.5: use an integer"),
        ("training.epochs=true", "training.epochs is true: use an integer"),
        ("training.clip_norm=.inf", "training.clip_norm is Infinity: use a number"),
        ("data=3", "data is 3: use a section of keys"),
        ("data.root=[1]", "data.root is [1]: use a path or null"),
        ("evaluation.epsilons_255=3", "evaluation.epsilons_255 is 3: use a list of numbers"),
        ("evaluation.epsilons_255=[1, x]", 'evaluation.epsilons_255.1 is "x": use a number'),
        ("evaluation.epsilons_255=[yes]", "evaluation.epsilons_255.0 is true: use a number"),
        ("objectives=3", "objectives is 3: use a list of sections"),
        ("method=3", "method is 3: use a section of keys"),
        ("method.hsplid=3", "method.hsplid is 3: use a section of keys"),
        ("method.hsplid.rho_s=off", "method.hsplid.rho_s is false: use a number"),
        ("storage=null", "storage is null: use a path or s3://bucket/folder"),
        # choices
        (
            "model.norm=Batch",
            'model.norm is "Batch": use none or batch; did you mean batch?',
        ),
        (
            "search.sampler=tpa",
            'search.sampler is "tpa": use tpe or nsga2 or nsga3 or gp or random or qmc or grid or '
            "package.module:factory; did you mean tpe?",
        ),
        (
            "method.hsplid.hsic_warmup=hard_splt",
            'method.hsplid.hsic_warmup is "hard_splt": use an integer or hard_split; '
            "did you mean hard_split?",
        ),
        (
            "model.name=resnet81",
            "model.name is resnet81: use lenet3, lenet5, resnet18, resnet18_3x3, resnet34, "
            "resnet50, or a classifier of torchvision such as vgg16, densenet121, "
            "efficientnet_b0 or vit_b_16; did you mean resnet18?",
        ),
        (
            "training={keep: best, monitor: val/acuracy}",
            "training.monitor is val/acuracy, which nothing measures: use a metric such as "
            "val/accuracy, val/robust_accuracy, val/robust_accuracy_error; did you mean "
            "val/accuracy?",
        ),
        (
            "training={patience: 3, monitor: val/margin/all}",
            "training.monitor is val/margin/all: evaluation.margins is null, so that nothing "
            "measures it; write {} for the default settings",
        ),
        (
            "training.schedule={kind: triangle, per: epoch}",
            "training.schedule.per is epoch: a triangle ends at 0, and a whole epoch would train "
            "at that rate; use step",
        ),
        (
            "training.augmentation.hue=0.7",
            "training.augmentation.hue is 0.7: use a share from 0 to 0.5",
        ),
        (
            "training.augmentation.blur_size=999",
            "training.augmentation.blur_size is 999: use less than twice data.image_size, 64",
        ),
        ("data.share=0", "data.share is 0.0: use a share in (0, 1]"),
        (
            "data.classes=[zebra]",
            "data.classes is ['zebra']: name two or more different classes, or null for all",
        ),
        (
            "data.name=imagenet9/original",
            "data.name is imagenet9/original, which has images to test on only: train on another "
            "data set and evaluate on this one",
        ),
        ("data.name=zzz", f"data.name is zzz: use {' or '.join(sorted(DATA_SETS))}"),
        (
            "training.device=gpu",
            "training.device is gpu: use auto, cpu, cuda, cuda:0 and so on, or mps",
        ),
        # ranges
        ("training.epochs=-1", "training.epochs is -1: use 0 or more"),
        (
            "training.epochs=0",
            "search.constraints.0.metric is hsplid/salient_dims: it is measured in training, and "
            "training.epochs is 0; name one of val/, or take it out, as ~search.constraints does",
        ),
        ("training.learning_rate=11", "training.learning_rate is 11.0: use a value in (0, 10]"),
        ("method.hsplid.rho_s=-1", "method.hsplid.rho_s is -1.0: use 0 or more"),
        ("trials=0", "trials is 0: use 1 or more"),
        ("resources.cpu=0", "resources.cpu is 0: use 0.0001 or more"),
        ("objectives=[]", "objectives is []: give one or more different metrics"),
        (
            "objectives=[{metric: a}, {metric: a}]",
            "objectives is ['a', 'a']: give one or more different metrics",
        ),
        (
            "objectives=[{metric: ''}]",
            "objectives.0.metric is empty: name a metric, such as val/accuracy",
        ),
        ("name=a/b", "name is \"a/b\": use letters, digits, '_', '.' and '-'"),
        # missing
        ("objectives=[{direction: minimize}]", "objectives.0.metric is missing: give a text"),
        ("~name", "name is missing: give a text"),
        ("~search", "search is missing: give a section of keys"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_is_allowed(override: str, line: str) -> None:
    assert faults("coco_hsplid", override) == [line]


@pytest.mark.parametrize(
    ("epochs", "factor", "grace"), [(9, 3, 2), (20, 3, 3), (200, 3, 33), (16, 2, 4), (1, 4, 1)]
)
def test_the_first_rung_leaves_room_for_a_second(epochs: int, factor: int, grace: int) -> None:
    changes = [f"training.epochs={epochs}", f"search.reduction_factor={factor}"]
    spec = load_spec("coco_hsplid", parse_overrides(changes))
    assert spec.grace_epochs == grace
    named = load_spec("coco_hsplid", parse_overrides([*changes, f"search.grace_epochs={epochs}"]))
    assert named.grace_epochs == epochs


def test_an_empty_method_is_refused(write: WriteSpec) -> None:
    assert faults(write(method={})) == ["method is {}: use at least one entry"]


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("training.epoch=3", "training.epochs"),
        ("modle.width=1", "model"),
        ("method.hslpid.rho_s=1", "method.hsplid"),
        ("method.hsplid.vairation=1", "method.hsplid.variation"),
        ("objectives=[{metric: a, dircetion: minimize}]", "objectives.0.direction"),
        # in another section
        ("learning_rate=1e-3", "training.learning_rate"),
        ("training.rho_s=1", "method.hsplid.rho_s"),
        ("weight=0.1", "method.cross_entropy.weight or method.sparsity.weight"),
        # by the released code's name
        (
            "method.hsplid.lambda_cluster=1",
            "method.hsplid.lambda_s (the released code's lambda_cluster)",
        ),
        (
            "method.hsplid.l_shared_hsicy_wieght=1",
            "method.hsplid.rho_n (the released code's l_shared_hsicy_weight)",
        ),
        ("lambda_shared=1", "method.hsplid.lambda_n (the released code's lambda_shared)"),
    ],
)
def test_an_unknown_key_names_the_nearest(override: str, meant: str) -> None:
    (line,) = faults("coco_hsplid", override)
    assert " is no key: " in line
    assert line.endswith(f"; did you mean {meant}?")


def test_an_unknown_key_lists_the_known_ones() -> None:
    (line,) = faults("coco_hsplid", "model.xyzzy=1")
    keys = "name, width, norm, stem, weights, checkpoint, new_head"
    assert line == f"model.xyzzy (1) is no key: model has {keys}"


def test_a_long_value_is_shortened() -> None:
    (line,) = faults("coco_hsplid", f"trials={'x' * 200}")
    assert len(line) < 110


def test_all_faults_are_told_at_once(write: WriteSpec) -> None:
    name = write(
        trials=0,
        learning_rate=1,
        training={"epochs": -1, "batch_size": "x", "learning_rat": 1, "clip_norm": True},
        evaluation={"epsilons_255": [1, "x", True], "steps": 0, "region": "backgroud"},
        method={"hsplid": {"rho_s": "x", "rho_n": -1, "sigmma": 1}, "nope": None},
        search={"space": "hslpid", "sampler": "x"},
        model={"name": "resnet19", "width": 9},
        objectives=[{"metric": "a"}, {"metric": "a"}],
    )
    keys = [line.split(" ")[0] for line in faults(name)]
    assert sorted(keys) == [
        "evaluation.epsilons_255.1",
        "evaluation.epsilons_255.2",
        "evaluation.region",
        "evaluation.steps",
        "learning_rate",
        "method.hsplid.rho_n",
        "method.hsplid.rho_s",
        "method.hsplid.sigmma",
        "method.nope",
        "model.name",
        "model.width",
        "objectives",
        "search.sampler",
        "search.space",
        "training.batch_size",
        "training.clip_norm",
        "training.epochs",
        "training.learning_rat",
        "trials",
    ]


def test_faults_follow_the_order_of_the_file(write: WriteSpec) -> None:
    name = write(trials=0, training={"epochs": -1}, data={"image_size": "x"})
    keys = [line.split(" ")[0] for line in faults(name)]
    assert keys == ["trials", "training.epochs", "data.image_size"]


def test_a_method_that_cannot_be_imported_says_so(write: WriteSpec) -> None:
    (line,) = faults(write(method={"nowhere.at_all:Config": None}))
    assert line.startswith("method nowhere.at_all:Config cannot be imported")


# -- names of sweeps and spaces -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("coco_hslpid", "did you mean coco_hsplid"),
        ("zzz", "coco_hsplid, coco_hsplid_grid, coco_hsplid_paper, .*or the path of a .yaml file"),
        ("no/such.yaml", "sweep file no/such.yaml does not exist"),
    ],
)
def test_an_unknown_sweep_is_named(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_sweep(name)


SPACE_FILE = """
def good(trial):
    return {"training.epochs": trial.suggest_int("training.epochs", 1, 3)}

def wrong_field(trial):
    return {"training.epoch": trial.suggest_int("training.epoch", 1, 3)}

def wrong_range(trial):
    return {"training.epochs": trial.suggest_int("training.epochs", -5, -1)}

def broken(trial):
    return {"training.epochs": 1 / 0}

number = 3
"""


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_space.py"
    path.write_text(SPACE_FILE)
    return path


def test_a_space_of_ones_own_is_found(write: WriteSpec, space_file: Path) -> None:
    spec = load_spec(write(search={"space": f"{space_file}:good"}))
    assert probe_space(spec).names == ("training.epochs",)
    assert find_space("search_spaces.hsplid:suggest").paper == {}


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("hslpid", "did you mean hsplid"),
        ("nowhere:f", "cannot import nowhere"),
        ("nowhere.py:f", r"cannot import nowhere\.py"),
        ("search_spaces.hsplid:nope", "search_spaces.hsplid has no nope"),
        ("search_spaces.hsplid:PAPER", "PAPER is no function of an Optuna trial"),
    ],
)
def test_an_unknown_space_is_named(space: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find_space(space)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("wrong_field", "parameter training.epoch: there is no epoch"),
        ("wrong_range", "epochs is -[1-5]: use 0 or more"),
        ("broken", "fails: ZeroDivisionError: division by zero"),
    ],
)
def test_a_space_that_does_not_fit_is_named(
    write: WriteSpec, space_file: Path, function: str, says: str
) -> None:
    spec = load_spec(write(search={"space": f"{space_file}:{function}"}))
    with pytest.raises(ConfigError, match=says) as caught:
        probe_space(spec)
    assert f"{space_file}:{function}" in str(caught.value)


# -- the recipe, and networks that a search chooses -----------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("cross_entropy+nope", "recipe is cross_entropy+nope: join names of cross_entropy"),
        ("hsplid+hsplid", "recipe is hsplid"),
    ],
)
def test_an_impossible_recipe_is_refused(recipe: str, says: str) -> None:
    (line,) = faults("coco_hsplid", f"recipe={recipe}")
    assert says in line


def test_a_recipe_chooses_among_the_methods() -> None:
    spec = load_spec("coco_baselines", parse_overrides(["recipe=cross_entropy+hbar"]))
    assert list(spec.trial_config().methods) == ["cross_entropy", "hbar"]
    assert len(load_spec("coco_hbar").trial_config().methods) == 2


def test_pretrained_weights_and_a_search_over_networks_exclude_each_other() -> None:
    spec = load_spec("sib_coco", parse_overrides(["pretrain=coco_pretrain"]))
    with pytest.raises(ConfigError, match=r"searches model\.name, but pretrain is coco_pretrain"):
        probe_space(spec)


def test_a_checkpoint_is_found_wherever_a_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pt").touch()
    monkeypatch.chdir(tmp_path)
    given = parse_overrides(["model.checkpoint=weights.pt"])
    spec = load_spec("coco_hbar", given)
    assert spec.trial_config().model.checkpoint == tmp_path / "weights.pt"
    assert check_sweep("coco_hbar", given).fixed == {}  # of what a search might have
    (line,) = faults("coco_hbar", "model.checkpoint=gone.pt")
    assert line == "model.checkpoint is gone.pt: there is no such file"


@pytest.mark.parametrize(
    ("name", "data", "region", "image_size", "stem"),
    [
        ("sib_imagenette", "imagenette", "full", 224, "imagenet"),
        ("sib_cifar", "cifar10", "full", 32, "auto"),
        ("sib_cub", "cub", "background", 224, "imagenet"),
        ("sib_dogs", "stanford_dogs/boxes", "background", 224, "imagenet"),
        ("sib_coco", "coco_animals", "background", 224, "imagenet"),
        ("sib_folder", "folder", "full", 224, "imagenet"),
    ],
)
def test_sweeps_that_share_a_file_differ_where_their_data_do(
    name: str, data: str, region: str, image_size: int, stem: str
) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/data"]))
    assert (spec.data.name, spec.evaluation.region) == (data, region)
    assert (spec.data.image_size, spec.model.stem) == (image_size, stem)
    other = load_spec("sib_imagenette", parse_overrides(["data.root=/data"]))
    same = ("method", "training", "search", "trials", "resources", "objectives", "seed")
    assert [getattr(spec, part) for part in same] == [getattr(other, part) for part in same]


def test_a_key_of_an_earlier_version_is_told_and_read_where_it_is_stored() -> None:
    says = r"max_failures \(7\) is no key: .*; did you mean failures.max_losses\?"
    with pytest.raises(ConfigError, match=says):
        load_spec("coco_hsplid", parse_overrides(["max_failures=7"]))
    stored = load_spec("coco_hsplid").resolved()
    del stored["failures"]["max_losses"]
    read = validated(renamed({**stored, "max_failures": 7}), source="spec.yaml")
    assert read.failures.max_losses == 7


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.image_size=112"], (112, 128)),
        (["data.image_size=112", "data.resize_size=120"], (112, 120)),
        (["data.resize_size=300"], (224, 300)),
        ([], (224, 256)),
    ],
)
def test_smaller_images_show_as_much_of_a_picture(
    overrides: list[str], expected: tuple[int, int]
) -> None:
    spec = load_spec("imagenet_hsplid", parse_overrides(["data.root=/x", *overrides]))
    assert (spec.data.image_size, spec.data.resize_size) == expected
