"""Bad values of every field of a spec: each is one line with the field, and code 2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from hsplid_core.config.analyses import CONFIRMATION_SUITES
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation.suites import SUITES
from sweeps.run import main
from sweeps.spec.allowed_values import Place, all_places, alternatives, fields_of, kind_at
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import Override

SPEC: dict[str, Any] = {
    "name": "tiny",
    "data": {"image_size": 32},
    "model": {"width": 0.0625},
    "method": {"cross_entropy": None},
    "training": {"epochs": 2, "batch_size": 32},
    "search": {"space": "pretrain"},
    "trials": 1,
}
FIELDS = [place for place in all_places() if not fields_of(kind_at(place))]


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return str(path)


def bad_values(place: Place) -> Iterator[object]:
    """What no field of the kind that this one is takes."""
    kinds = alternatives(kind_at(place))
    texts = str in kinds or Path in kinds or place == ("storage",)
    yield from (math.nan, math.inf, -math.inf, {"a": 1})
    if not any(get_origin(kind) is tuple for kind in kinds):
        yield [1, "x"]
    if int in kinds or float in kinds:
        yield from (-1, -1e-9, 10**12, 1e300, 10**400, "text")
    if bool in kinds:
        yield from ("maybe", 3)
    elif texts or int in kinds or float in kinds:
        yield True
    if any(get_origin(kind) is Literal for kind in kinds):
        yield from ("nonsense", -1)
    if texts:
        yield from ("a\x1bb", "a\0", "x" * 5000, 3)
    if (Path in kinds) or place == ("storage",):
        yield from ("/data/" + "x" * 300, "~nobody-of-this-name/data")
    if place != ("description",):
        yield ""


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_no_field_takes_what_it_cannot_mean(place: Place, spec_file: str) -> None:
    path = ".".join(str(key) for key in place)
    for value in bad_values(place):
        with pytest.raises(ConfigError) as caught:
            load_spec(spec_file, [Override(path, value)])
        headline, *lines = str(caught.value).splitlines()
        assert headline.endswith(" has 1 fault:"), (value, lines)
        assert lines[0].startswith(f"  {path}"), (value, lines)
        assert len(lines[0]) < 400


def test_there_are_as_many_as_were_tried() -> None:
    assert len(FIELDS) > 150
    assert sum(len(list(bad_values(place))) for place in FIELDS) + len(WRONG) > 1500


def test_the_suites_of_a_confirmation_are_those_that_there_are() -> None:
    assert set(CONFIRMATION_SUITES) == {*SUITES, "objective"}
    assert get_args(kind_at(("evaluation", "suite")))


# Each with what its line says.
WRONG = [
    # names
    *((f"name={name}", f"name is {name}: the storage has") for name in ("cache", "pretrained")),
    *((f"name={name}", f"name is {name}: the storage has") for name in ("mlruns", "MLruns")),
    ("name=mlflow.db", "name is mlflow.db: the storage has"),
    ("name=" + 300 * "x", 'name is "xxx'),
    *((f"name={name}", f'name is "{name}": use letters') for name in ("a/b", "..", ".a", "a b")),
    ('name="a\\nb"', 'name is "a\\nb": use a text without control characters'),
    ('name="a\\eb"', 'name is "a\\u001bb": use a text without control characters'),
    ("name=é", "name is "),
    # beyond reason
    ("trials=1000000000", "trials is 1000000000: use 100,000 or less"),
    ("data.image_size=99999", "data.image_size is 99999: use at most 4,096"),
    ("data.split_seed=-1", "data.split_seed is -1: use 0 or more"),
    ("training.batch_size=1000000", "training.batch_size is 1000000: use at most 65,536"),
    ("model.width=100", "model.width is 100.0: use a factor from 1/64 to 4"),
    ("model.width=1e-9", "model.width is 1e-09: use a factor from 1/64 to 4"),
    ("seed=4294967296", "seed is 4294967296: use 4,294,967,295 or less"),
    ("training.device=cuda:99999", "training.device is cuda:99999"),
    (
        "resources.gpu=1.5",
        "resources.gpu is 1.5: use 0, 0.0001 to 1, or auto; a trial trains on one",
    ),
    (
        "resources.gpu=4",
        "resources.gpu is 4: use 0, 0.0001 to 1, or auto; a trial trains on one GPU",
    ),
    ("resources.gpu=1e-9", "resources.gpu is 1e-09: use 0, 0.0001 to 1, or auto"),
    ("training.tf32=yes", "training.tf32"),
    ("training.deterministic=often", "training.deterministic"),
    ("resources.cpu=1e-9", "resources.cpu is 1e-09: use 0.0001 or more"),
    ("trials=" + 5000 * "9", "the value is not YAML"),
    ("trials=0b_", "the value is not YAML"),
    ("trials=2001-99-99", "the value is not YAML"),
    # beside one another
    ("search.grace_epochs=3", "search.grace_epochs is 3: a trial has training.epochs, 2"),
    (
        "search.constraints=[{metric: val/accuracy, minimum: 0.9, maximum: 0.1}]",
        "search.constraints.0.minimum is 0.9, above the maximum, 0.1",
    ),
    ("search.constraints=[{metric: val/accuracy}]", "give a minimum or a maximum"),
    (
        "search.constraints=[{metric: val/accuracy, minimum: .nan}]",
        "search.constraints.0.minimum is NaN",
    ),
    ("search.constraints=[{metric: val/acuracy, minimum: 0}]", "did you mean val/accuracy"),
    ("data.pixel.side=33", "data.pixel.side is 33: images have 32 pixels a side"),
    ("data={transform: lowpass, bandwidth: 33}", "data.bandwidth is 33: lowpass keeps 1 to 32"),
    ("evaluation.region=block_99999", "evaluation.region is block_99999: a block of images of 32"),
    ("evaluation.region=block_0", "evaluation.region is 'block_0'"),
    ("evaluation.region=block_1.5", "evaluation.region is 'block_1.5'"),
    ("evaluation.region=block_-1", "evaluation.region is 'block_-1'"),
    ("training.accumulation=17", "training.accumulation is 17: use 1 to half the batch_size"),
    # lists
    ("evaluation.epsilons_255=[]", "evaluation.epsilons_255 is ()"),
    ("evaluation.epsilons_255=[0]", "evaluation.epsilons_255 is (0.0,)"),
    ("evaluation.epsilons_255=[256]", "evaluation.epsilons_255 is (256.0,)"),
    ("evaluation.epsilons_255=[1, .inf]", "evaluation.epsilons_255.1 is Infinity"),
    ("evaluation.saliency.scores=[]", "evaluation.saliency.scores is empty"),
    ("evaluation.saliency.methods=[grad]", "evaluation.saliency.methods is grad: use"),
    ("evaluation.single_pixel.jitters=[[-1, 0]]", "evaluation.single_pixel.jitters is ((-1.0"),
    ("evaluation.single_pixel.jitters=[]", "evaluation.single_pixel.jitters is ()"),
    ("evaluation.confirmation.suite=strong", "evaluation.confirmation.suite is strong: use"),
    ("training.augmentation.crop_scale=[0.9, 0.1]", "training.augmentation.crop_scale is (0.9,"),
    ("training.augmentation.crop_ratio=[2, 3]", "training.augmentation.crop_ratio is (2.0, 3.0)"),
    ("method.cross_entropy.class_weights=[]", "method.cross_entropy.class_weights is ()"),
    ("method.cross_entropy.class_weights=[0]", "method.cross_entropy.class_weights is (0.0,)"),
    ("objectives=[]", "objectives is []"),
    ("objectives=[{metric: val/accuracy, direction: up}]", 'objectives.0.direction is "up"'),
    ("objectives=[{metric: x}]", "objectives.0.metric is x, which nothing measures"),
    # what is no space, and is not called
    ("search.space=.:f", "search.space is '.:f': cannot import .: TypeError"),
    ("search.space=':f'", "search.space is ':f': cannot import "),
    ("search.space=os:system", "search.space is 'os:system': system is no function"),
    ("search.space=builtins:dict", "search.space is 'builtins:dict': dict is no function"),
    ("search.space=os:getcwd", "search.space is 'os:getcwd': getcwd is no function"),
    ("search.space=builtins:exit", "search.space builtins:exit fails: SystemExit"),
    ("search.space=json:loads", "search.space json:loads fails: TypeError"),
    # what is no method, and is not called
    ("method.os:system={}", "method os:system is no method: name a dataclass"),
    ("method.os:getcwd={}", "method os:getcwd is no method"),
    ("method.pathlib:Path={}", "method pathlib:Path is no method"),
    ("method.subprocess:Popen={args: ls}", "method subprocess:Popen is no method"),
    ("method={'.:f': {}}", "method .:f cannot be imported: TypeError"),
    ("method={':f': {}}", "method :f cannot be imported: ValueError"),
    ("method={'os:': {}}", "method os: cannot be imported: AttributeError"),
    ("method={1: {}}", "method.1"),
    ("1a=3", "override '1a=3': write key.path=value"),
    ("data={1: 2}", "data.1"),
    # forms
    ("trials", "override 'trials': write key.path=value"),
    ("trials=", "override 'trials=': there is no value"),
    ("~nope", "override ~nope: there is no such key"),
    ("demo.trials=1", "override 'demo.trials=1': overrides win"),
    ("pretrain=nope", "pretrain is 'nope': sweep nope is unknown"),
    ("recipe=nope", "recipe is nope: join names of cross_entropy"),
    ("study.storage=ftp://a", "study.storage is ftp://a"),
]


@pytest.mark.parametrize(("override", "says"), WRONG, ids=[given[:40] for given, _ in WRONG])
def test_a_bad_value_is_one_line_and_leaves_nothing(
    override: str, says: str, spec_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Path(spec_file).with_name("runs")
    assert main([spec_file, f"storage={storage}", override, "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.removeprefix("error: ").splitlines()
    if lines[0].endswith(" has 1 fault:"):
        lines = lines[1:]
    assert len(lines) == 1
    assert says in lines[0]
    assert len(lines[0]) < 500
    assert not storage.exists()


SPACES = """
def word(trial):
    return {"training.optimiser": "adamm"}

def text(trial):
    return {"training.epochs": "many"}

def endless(trial):
    return {"training.weight_decay": float("inf")}

def nothing(trial):
    return None

def ends(trial):
    raise SystemExit(3)

def two(trial, other):
    return {}
"""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("word", "parameter training.optimiser is 'adamm': use adam or adamw or sgd"),
        ("text", "parameter training.epochs is 'many': use an integer"),
        ("endless", "weight_decay is inf: use at most 10"),
        ("nothing", "fails: AttributeError"),
        ("ends", "fails: SystemExit: 3"),
        ("two", "two is no function of an Optuna trial"),
    ],
)
def test_a_space_that_gives_no_values_is_told(
    function: str, says: str, spec_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(spec_file).with_name("own_space.py")
    file.write_text(SPACES)
    assert main([spec_file, f"search.space={file}:{function}", "--dry-run"]) == 2
    assert says in capsys.readouterr().err


def test_methods_of_ones_own_that_fail_are_told(
    spec_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "fails_on_import.py").write_text("raise SystemExit(7)")
    (tmp_path / "fails_when_made.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Own:\n    weight: float = 1\n\n"
        "    def __post_init__(self):\n        raise OSError('no luck')\n\n"
        "    def build(self, shape):\n        return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, says in [
        ("fails_on_import:Own", "method fails_on_import:Own cannot be imported: SystemExit: 7"),
        (
            "fails_when_made:Own",
            "method fails_when_made:Own refuses its settings: OSError: no luck",
        ),
    ]:
        assert main([spec_file, f"method.{name}={{}}", "--dry-run"]) == 2
        assert says in capsys.readouterr().err
