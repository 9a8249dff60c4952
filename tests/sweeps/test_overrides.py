from __future__ import annotations

from typing import Any

import pytest

from hsplid_core.errors import ConfigError
from sweeps.spec.overrides import (
    Override,
    apply_overrides,
    fixed_parameters,
    merged,
    parse_overrides,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=1e-3", 1e-3),
        ("a.b=-2E4", -2e4),
        ("a.b=5.0e-4", 5e-4),
        ("a.b=null", None),
        ("a.b=true", True),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={c: 1}", {"c": 1}),
        ("a.b=http://host:1/?x=y", "http://host:1/?x=y"),
        ("a.b='3'", "3"),
        ("a.b=1e-3x", "1e-3x"),
        # A command line has no comments.
        ("a.b=run #3", "run #3"),
        ("a.b=/data/a #2/runs", "/data/a #2/runs"),
        ("a.b=#3", "#3"),
        ("a.b='run #3'", "run #3"),
        ("a.b=[1, 2]  # two", [1, 2]),
    ],
)
def test_a_value_is_yaml(text: str, value: object) -> None:
    assert parse_overrides([text]) == [Override("a.b", value)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trials", "'trials': write key.path=value"),
        ("=3", "'=3': write key.path=value"),
        ("a..b=3", "'a..b=3': write key.path=value"),
        ("a b=3", "'a b=3': write key.path=value"),
        ("~a=3", "'~a=3': write key.path=value"),
        ("trials=", "write trials=null for none"),
        ("trials=[1", "the value is not YAML"),
        ("a={b: 1, b: 2}", "the key b is given twice"),
        ("demo.trials=3", "write trials=... instead"),
        ("demo=3", "overrides win over the demo section"),
    ],
)
def test_a_malformed_override_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides([text])
    assert text in str(caught.value)
    assert says in str(caught.value)


def test_all_malformed_overrides_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["trials", "seed=1", "=3", "x=[1"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=1", {"a": {"b": 1, "c": 2}, "n": None, "l": [1]}),
        ("a={b: 1}", {"a": {"b": 1, "c": 2}, "n": None, "l": [1]}),
        ("n.x.y=1", {"a": {"b": 0, "c": 2}, "n": {"x": {"y": 1}}, "l": [1]}),
        ("new.x=1", {"a": {"b": 0, "c": 2}, "n": None, "l": [1], "new": {"x": 1}}),
        ("l=[2, 3]", {"a": {"b": 0, "c": 2}, "n": None, "l": [2, 3]}),
        ("~a.b", {"a": {"c": 2}, "n": None, "l": [1]}),
        ("~a", {"n": None, "l": [1]}),
    ],
)
def test_an_override_changes_its_own_place_only(text: str, expected: dict[str, Any]) -> None:
    values = {"a": {"b": 0, "c": 2}, "n": None, "l": [1]}
    assert apply_overrides(values, parse_overrides([text])) == expected
    assert values == {"a": {"b": 0, "c": 2}, "n": None, "l": [1]}


def test_the_last_override_wins() -> None:
    assert apply_overrides({}, parse_overrides(["a=1", "a=2"])) == {"a": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.b.c=1", "override a.b.c: a.b is 0, it has no keys below"),
        ("l.0=1", "override"),
        ("~a.x", "override ~a.x: there is no such key, only b"),
    ],
)
def test_an_override_that_leads_nowhere_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match="override") as caught:
        apply_overrides({"a": {"b": 0}, "l": [1]}, parse_overrides([text]))
    assert says in str(caught.value)


def test_merging_goes_into_sections_and_replaces_lists() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    overlay = {"a": {"c": [3]}, "d": {"e": 1}, "f": None}
    assert merged(base, overlay) == {"a": {"b": 1, "c": [3]}, "d": {"e": 1}, "f": None}


RESOLVED: dict[str, Any] = {
    "trials": 3,
    "seed": 0,
    "data": {"root": "/x", "pixel": {"seed": 4}},
    "method": {"hsplid": {"rho_s": 0.5, "rho_n": 0.05}},
    "training": {"learning_rate": 5e-4, "epochs": 2},
    "evaluation": {"epsilons_255": [1.0]},
}


@pytest.mark.parametrize(
    ("texts", "fixed"),
    [
        ([], {}),
        (["trials=3", "data.root=/x"], {}),
        (["method.hsplid.rho_s=0.5"], {"method.hsplid.rho_s": 0.5}),
        (["training={epochs: 2}"], {"training.epochs": 2}),
        (["method={hsplid: {rho_n: 5e-2}}"], {"method.hsplid.rho_n": 0.05}),
        (["method.hsplid=null", "~method.other"], {}),
        (["evaluation.epsilons_255=[1]"], {}),
        (["seed=0", "data.pixel.seed=4"], {"seed": 0, "data.pixel.seed": 4}),
        # The value is the checked one, not the text that was given.
        (["training.learning_rate='5e-4'"], {"training.learning_rate": 5e-4}),
    ],
)
def test_searchable_fields_set_by_hand_are_fixed(
    texts: list[str], fixed: dict[str, object]
) -> None:
    assert fixed_parameters(RESOLVED, parse_overrides(texts)) == fixed


def test_a_later_override_may_take_back_an_earlier_one() -> None:
    overrides = parse_overrides(["method.old.weight=1", "~method.old"])
    assert fixed_parameters(RESOLVED, overrides) == {}


def test_the_dots_of_a_method_from_outside_separate_no_sections() -> None:
    name = "pack.toys:Toy"
    values = {"method": {name: {"weight": 1, "kind": "a"}}}
    overrides = parse_overrides([f"method.{name}.weight=2", f"method.{name}.deep.x=3"])
    changed = apply_overrides(values, overrides)
    assert changed == {"method": {name: {"weight": 2, "kind": "a", "deep": {"x": 3}}}}
    assert fixed_parameters(changed, overrides[:1]) == {f"method.{name}.weight": 2}
    assert apply_overrides(values, parse_overrides([f"~method.{name}"])) == {"method": {}}
