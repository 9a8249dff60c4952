"""What is conditional in the methods' spaces."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest

from search_spaces import SPACES, ParameterValue

TRIES = 80


def samples(name: str) -> Iterator[tuple[set[str], dict[str, ParameterValue]]]:
    """What random trials were asked for, and the fields they set."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(TRIES):
        trial = study.ask()
        values = SPACES[name](trial)
        yield set(trial.params), values


def test_sibs_mask_is_asked_for_only_if_a_weight_needs_it() -> None:
    mask = {f"method.sib.{name}" for name in ("window", "temperature", "slope")}
    seen = set()
    for asked, values in samples("sib"):
        on = bool(values["method.sib.lambda_fg"] or values["method.sib.lambda_bg"])
        seen.add(on)
        assert (asked & mask == mask) if on else not asked & mask
        assert ("method.sib.random_features" in asked) == bool(values["method.sib.lambda_fg"])
        assert isinstance(window := values["method.sib.window"], int)
        assert window % 2 == 1
    assert seen == {True, False}


def test_the_norms_settings_are_asked_for_only_if_they_act() -> None:
    prefix = "method.norm_adversarial."
    seen = set()
    for asked, values in samples("norm_adversarial"):
        mode = values[f"{prefix}mode"]
        seen.add(mode)
        assert (f"{prefix}training" in asked) == (mode != "standard")
        assert (f"{prefix}epsilon" in asked) == (mode != "standard")
        assert (f"{prefix}epsilon2" in asked) == (mode == "elastic")
    assert seen == {"standard", "l1", "elastic", "group"}


@pytest.mark.parametrize(
    ("space", "field"),
    [
        ("hbar", "method.hbar.lambda_x"),
        ("hbar", "method.hbar.lambda_y"),
        ("hbar", "method.hbar.layer_decay"),
        ("human_attention", "method.human_attention.epsilon"),
        ("sib", "method.sib.lambda_bg"),
    ],
)
def test_weights_can_be_off(space: str, field: str) -> None:
    off = [values[field] == 0 for _, values in samples(space)]
    assert TRIES / 5 <= sum(off) <= 4 * TRIES / 5


def test_every_kind_of_sparsity_is_tried() -> None:
    kinds = {values["method.sparsity.kind"] for _, values in samples("sparsity")}
    assert len(kinds) == 4
