"""The table, its log and its warnings."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsplid_core.attacks import (
    APGD,
    FAB,
    PGD,
    REGIONS,
    Attack,
    AutoAttack,
    Model,
    Region,
    Square,
    fgsm,
    user_region,
)
from hsplid_core.attacks.balls import CHANGES, changes, sizes
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, TrainingDivergedError
from hsplid_core.evaluation import (
    LOG_SCHEMA,
    SUITES,
    Cell,
    Progress,
    RobustnessTable,
    Suite,
    Threat,
    evaluate_robustness,
    find_suite,
    strengthened,
)
from tests.hsplid_core.attacks.problems import make_batch, make_net, pick
from tests.hsplid_core.attacks.trained import trained_net, unseen_batch

ROWS = 40
PGD_3 = PGD(epsilon=0.01, steps=3, step_size=0.02)
TEAM = AutoAttack(epsilon=0.01, steps=4, queries=6, iterate="best")
ATTACKS: tuple[tuple[str, Attack], ...] = (("pgd", PGD_3), ("aa", TEAM))
SMALL = Suite(
    name="small",
    summary="for tests",
    threats=(
        Threat(region="background", epsilons=(0.02, 0.04, 0.08), attacks=ATTACKS),
        Threat(region="full", epsilons=(0.01, 0.03), attacks=ATTACKS),
    ),
)


class MemoryImages:
    """A data set in memory."""

    def __init__(self, batch: Batch) -> None:
        self.everything = batch

    def __len__(self) -> int:
        return len(self.everything.image)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return pick(self.everything, indices)


def images(rows: int = ROWS, **changes: Any) -> MemoryImages:
    return MemoryImages(replace(pick(unseen_batch(), torch.arange(rows)), **changes))


def evaluate(
    model: Model | None = None,
    data: MemoryImages | None = None,
    suite: Suite = SMALL,
    **options: Any,
) -> RobustnessTable:
    return evaluate_robustness(
        model or trained_net(), images() if data is None else data, suite, **options
    )


def one(attack: Attack, *epsilons: float, region: str | Region = "full", name: str = "a") -> Suite:
    threat = Threat(region=region, epsilons=epsilons, attacks=((name, attack),))
    return Suite(name="one", summary="for tests", threats=(threat,))


def labelled(net: nn.Module, rows: int = ROWS, n_wrong: int = 4) -> MemoryImages:
    """Random images labelled as a net sees them, but for a few at the start."""
    batch = make_batch(rows)
    target: Tensor = net(batch.image).argmax(1)
    target[:n_wrong] = (target[:n_wrong] + 1) % 3
    return MemoryImages(replace(batch, target=target))


SMOOTH = make_net(sharpness=3.0)
LABELLED = labelled(SMOOTH)
L2_THREAT = Threat(region="full", epsilons=(0.5,), attacks=(("pgd", PGD(epsilon=0.5, norm="l2")),))


def counted(cell: Cell, **changes: Any) -> Cell:
    """A cell without its means."""
    return replace(cell, **{"l2": None, "l0": None, "mse": None, **changes})


def codes(table: RobustnessTable) -> list[str]:
    return [finding.code for finding in table.warnings]


def test_a_cascade_is_monotone_and_nowhere_above_single_cells() -> None:
    found, each = evaluate(), evaluate(cascade=False)
    assert found.cascade
    assert not each.cascade
    assert [c.epsilon for c in found.cells] == [0.02, 0.04, 0.08] * 2 + [0.01, 0.03] * 2
    for here, there in zip(found.cells, each.cells, strict=True):
        assert counted(here, robust=0) == counted(there, robust=0)
        assert here.robust <= there.robust
    for left, right in zip(found.cells, found.cells[1:], strict=False):
        if (left.region, left.attack) == (right.region, right.attack):
            assert left.robust >= right.robust
    for region, epsilon in (("background", 0.04), ("full", 0.03)):
        pgd = found.robust(region=region, attack="pgd", epsilon=epsilon)
        assert found.clean > pgd >= found.robust(region=region, attack="aa", epsilon=epsilon) > 0


@pytest.mark.parametrize("cascade", [True, False])
def test_the_log_agrees_with_the_table(cascade: bool) -> None:
    table = evaluate(cascade=cascade)
    assert table.log.schema == LOG_SCHEMA
    rows = table.log.to_pylist()
    assert len(rows) == 2 * ROWS
    wrong = [row for row in rows if row["label"] != row["prediction"]]
    assert all(
        (r["attack"], r["epsilon"], r["perturbation_norm"]) == ("clean", 0, 0) for r in wrong
    )
    assert table.clean == 1 - len(wrong) / len(rows)
    assert table.clean_correct.double().mean() == pytest.approx(table.clean)
    robust = [cell.robust for cell in table.cells]
    assert table.correct.double().mean(1).tolist() == pytest.approx(robust)
    assert table.mean_correct.mean() == pytest.approx(table.mean_robust)
    for threat in SMALL.threats:
        here = [row for row in rows if row["region"] == threat.region_name]
        assert sorted(row["index"] for row in here) == list(range(ROWS))
        for row in here:
            assert row["norm"] == "linf"
            if row["attack"] not in (None, "clean"):
                assert 0 < row["perturbation_norm"] <= row["epsilon"] * (1 + 1e-4)
            if row["attack"] is None:
                assert row["epsilon"] is row["perturbation_norm"] is None
                assert {row[name] for name in CHANGES} == {None}
        n_values = unseen_batch(1).image.numel()
        broken = [row for row in here if row["attack"] not in (None, "clean")]
        for row in broken:
            assert row["linf"] == row["perturbation_norm"]
            assert row["mse"] == pytest.approx(row["l2"] ** 2 / n_values, rel=1e-4)
            assert 1 <= row["l0"] <= n_values
            assert row["linf"] <= row["l2"] <= row["linf"] * row["l0"] ** 0.5 * (1 + 1e-4)
        if cascade:  # broken once means broken at every larger radius
            for epsilon in threat.epsilons:
                broken = sum(r["epsilon"] is not None and r["epsilon"] <= epsilon for r in here)
                last = table.robust(region=threat.region_name, attack="aa", epsilon=epsilon)
                assert last == pytest.approx(1 - broken / ROWS)
    names = {row["attack"] for row in rows}
    assert {"pgd", None} < names
    assert any(name and name.startswith("aa/") for name in names)


def test_every_attack_on_every_batch_is_told() -> None:
    told: list[Progress] = []
    batch_size = 2 * ROWS // 3
    table = evaluate(batch_size=batch_size, told=told.append)
    assert {done.n_images for done in told} == {ROWS}
    assert [done.n_done for done in told] == sorted(done.n_done for done in told)
    for cell in table.cells:
        if cell.attack == "pgd":
            here = [d for d in told if d.attack == "pgd" and d.region == cell.region]
            assert [done.n_done for done in here] == [0, batch_size]
            place = here[0].epsilons.index(cell.epsilon)
            standing = sum(done.standing[place] for done in here)
            assert cell.robust == pytest.approx((standing + cell.n_untouched) / ROWS)
    teams = {done.attack for done in told if done.region == "full"}
    assert {"pgd", "aa/apgd-ce"} <= teams


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(12)), batch_size=st.integers(1, 13), cascade=st.booleans())
def test_ignores_batch_size_and_order(order: list[int], batch_size: int, cascade: bool) -> None:
    batch = pick(unseen_batch(), torch.arange(12))
    wide = replace(batch, image=batch.image.double())
    net = copy.deepcopy(trained_net()).double()
    suite = one(APGD(epsilon=0.1, steps=4), 0.02, 0.04, region="background")
    whole = evaluate(net, MemoryImages(wide), suite, cascade=cascade)
    shuffled = MemoryImages(pick(wide, torch.tensor(order)))
    again = evaluate(net, shuffled, suite, batch_size=batch_size, cascade=cascade)
    assert [counted(cell) for cell in again.cells] == [counted(cell) for cell in whole.cells]
    means = [[cell.l2, cell.l0, cell.mse] for cell in (*again.cells, *whole.cells)]
    assert means[:2] == [pytest.approx(own) for own in means[2:]]
    assert again.clean == whole.clean
    columns = ["index", "label", "prediction", "attack", "epsilon"]
    assert again.log.sort_by("index").select(columns) == whole.log.select(columns)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(),
    region=st.sampled_from(sorted(REGIONS)),
    epsilons=st.sets(st.floats(0.001, 0.5), min_size=1, max_size=4),
    relative_step=st.floats(0.05, 3.0),
    iterate=st.sampled_from(["last", "best", "first_fooling"]),
)
def test_no_attack_makes_a_cascade_rise_or_weaker_than_single_cells(
    seed: int, region: str, epsilons: set[float], relative_step: float, iterate: Any
) -> None:
    attack = PGD(epsilon=0.1, steps=2, relative_step=relative_step, iterate=iterate)
    suite = one(attack, *sorted(epsilons), region=region)
    found, each = (evaluate(SMOOTH, LABELLED, suite, seed=seed, cascade=c) for c in (True, False))
    assert found.clean == each.clean == 0.9
    values = [found.clean, *(cell.robust for cell in found.cells)]
    assert values == sorted(values, reverse=True)
    assert all(a.robust <= b.robust for a, b in zip(found.cells, each.cells, strict=True))


def test_survivors_alone_are_attacked() -> None:
    seen: list[int] = []

    def counting(image: Tensor) -> Tensor:
        seen.append(len(image))
        logits: Tensor = SMOOTH(image)
        return logits

    suite = one(PGD(epsilon=0.1, steps=2, relative_step=0.5), 0.08, 0.1, 0.12, 0.16)
    found = evaluate(counting, LABELLED, suite)
    # The images as they are; a few looks at the model as a whole; a random point and the margins
    # of what is classified correctly, 36 of 40. Then at each radius the old perturbation scaled
    # up (but at the first), two steps and the verdict, each on what then stands.
    before, after = seen[: -4 * 4 + 1], seen[-4 * 4 + 1 :]
    assert before[0] == 40
    assert before[-2:] == [36, 36]
    assert after[:3] == [36, 36, 36]
    assert after[3] == round(40 * found.cells[0].robust) < 36
    assert after == sorted(after, reverse=True)

    seen.clear()
    evaluate(counting, LABELLED, suite, cascade=False)
    assert seen[-12:] == [36] * 12


def test_stops_when_nothing_stands() -> None:
    told: list[Progress] = []
    suite = one(PGD(epsilon=0.1, steps=20), 0.9, 0.95, 1.0)
    found = evaluate(SMOOTH, LABELLED, suite, told=told.append)
    assert [cell.robust for cell in found.cells] == [0.0, 0.0, 0.0]
    assert [done.standing for done in told] == [(0, 0, 0)]


def test_a_subset_is_the_same_whatever_the_seed() -> None:
    few = replace(one(PGD_3, 1e-6), max_images=10)
    tables = [evaluate(SMOOTH, LABELLED, few, seed=seed) for seed in range(3)]
    chosen = [table.log.column("index").to_pylist() for table in tables]
    assert [table.n_images for table in tables] == [10, 10, 10]
    assert chosen[0] == chosen[1] == chosen[2]
    assert evaluate(SMOOTH, LABELLED, replace(few, max_images=99)).n_images == 40


def test_the_table_as_arrow_carries_its_warnings() -> None:
    table = evaluate(suite=one(PGD_3, 0.01, 0.02))
    arrow = table.to_arrow()
    assert arrow.num_rows == 2
    assert arrow.column("robust").to_pylist() == [cell.robust for cell in table.cells]
    metadata = {key.decode(): value.decode() for key, value in arrow.schema.metadata.items()}
    assert metadata["warnings"] == "step_too_large"
    assert (metadata["suite"], metadata["cascade"]) == ("one", "true")
    assert table.mean_robust == pytest.approx(sum(c.robust for c in table.cells) / 2)
    with pytest.raises(ConfigError, match="the table has no cell"):
        table.robust(region="full", attack="pgd", epsilon=0.5)


def test_suites_are_the_published_ones() -> None:
    paper = SUITES["paper"]
    rows = [(t.region, [round(e * 255) for e in t.epsilons]) for t in paper.threats]
    assert rows == [("block", [25, 128, 255]), ("background", [1, 2, 3]), ("full", [1, 2])]
    for threat in paper.threats:
        pgd, team = (attack for _, attack in threat.attacks)
        assert isinstance(pgd, PGD)
        assert (pgd.steps, pgd.step_size, pgd.iterate) == (10, 4 / 255, "last")
        assert isinstance(team, AutoAttack)
        assert (team.version, team.steps, team.samples) == ("rand", 100, 20)
    assert SUITES["search"].max_images
    strong = [attack for t in SUITES["standard"].threats for _, attack in t.attacks]
    assert all(
        isinstance(a, PGD) or a == AutoAttack(epsilon=a.epsilon, norm=a.norm) for a in strong
    )
    assert {threat.norm for threat in SUITES["standard"].threats} == {"linf", "l2"}
    for threat in SUITES["fgsm"].threats:
        ((_, step),) = threat.attacks
        assert step.with_epsilon(0.1) == fgsm(0.1)
    with pytest.raises(ConfigError, match=r"suite is 'papr': .*did you mean paper"):
        find_suite("papr")


def test_a_strengthened_suite_keeps_regions_and_radii() -> None:
    weak = replace(SUITES["search"], threats=(*SUITES["search"].threats, L2_THREAT))
    strong = strengthened(weak)
    kept = [(threat.region_name, threat.norm, threat.epsilons) for threat in strong.threats]
    assert kept == [(threat.region_name, threat.norm, threat.epsilons) for threat in weak.threats]
    published = {threat.norm: threat.attacks for threat in SUITES["standard"].threats}
    assert all(threat.attacks == published[threat.norm] for threat in strong.threats)
    assert strong.max_images is None


def test_search_suite_runs_by_name() -> None:
    table = evaluate_robustness(trained_net(), images(60), "search")
    assert table.n_images == SUITES["search"].max_images
    assert [round(cell.epsilon * 255) for cell in table.cells] == [1, 3]
    assert codes(table) == []


def test_warns_of_steps_that_do_not_suit_the_radius() -> None:
    attack = PGD(epsilon=0.1, steps=3, step_size=0.02)
    table = evaluate(suite=one(attack, 0.01, 0.05, 0.2))
    (large, small) = table.warnings
    assert (large.code, small.code) == ("step_too_large", "step_too_small")
    assert large.numbers == {"step": 0.02, "epsilon": 0.01, "n_radii": 1}
    assert small.numbers == {"reach": pytest.approx(0.06), "epsilon": 0.2, "n_radii": 1}
    assert codes(evaluate(suite=one(PGD(epsilon=0.1), 0.01, 0.2))) == []


def test_warns_of_masked_gradients() -> None:
    def masked(image: Tensor) -> Tensor:
        logits: Tensor = trained_net()((image * 255).round().div(255).detach() + 0 * image)
        return logits

    attacks: tuple[tuple[str, Attack], ...] = (
        ("pgd", PGD(epsilon=0.1, random_start=False)),
        ("square", Square(epsilon=0.1, queries=60)),
    )
    threat = Threat(region="full", epsilons=(0.08,), attacks=attacks)
    table = evaluate(masked, suite=Suite(name="x", summary="x", threats=(threat,)))
    found = {finding.code: finding.numbers for finding in table.warnings}
    assert found["zero_gradients"]["n_images"] == 8
    assert found["black_box_beats_white_box"]["n_images"] > 4
    assert table.robust(region="full", attack="pgd", epsilon=0.08) == table.clean


def test_warns_when_chance_beats_the_attack() -> None:
    weak = PGD(epsilon=0.5, steps=1, step_size=1e-6, random_start=False)
    table = evaluate(suite=one(weak, 0.9))
    assert "random_noise_beats_attack" in codes(table)
    assert "random_noise_beats_attack" not in codes(evaluate(suite=one(PGD(epsilon=0.5), 0.9)))


def test_warns_of_curves_that_rise_where_they_can() -> None:
    # One long step from the image: the larger ball's corner is not the worse one.
    def kinked(image: Tensor) -> Tensor:
        up = (image - 0.5).flatten(1).mean(1)
        return torch.stack([up.mul(20).cos(), up * 0 + 0.2], dim=1)

    batch = Batch(
        torch.full((6, 1, 4, 4), 0.51),
        torch.zeros(6, dtype=torch.int64),
        None,
        torch.arange(6),
    )
    attack = PGD(epsilon=0.1, steps=1, relative_step=1.0, random_start=False)
    suite = one(attack, 0.1, 0.3)
    each = evaluate(kinked, MemoryImages(batch), suite, cascade=False)
    assert [cell.robust for cell in each.cells] == [0.0, 1.0]
    assert codes(each)[-1] == "not_monotone"
    assert each.warnings[-1].numbers["rise"] == 1.0
    assert "not_monotone" not in codes(evaluate(kinked, MemoryImages(batch), suite))


def test_warns_of_models_that_are_no_classifiers() -> None:
    net = trained_net()
    suite = one(PGD(epsilon=0.01), 0.01)

    def constant(image: Tensor) -> Tensor:
        return torch.tensor([0.0, 1.0, 0.5, 0.2, 0.1]) + 0 * image.flatten(1)[:, :5]

    def random(image: Tensor) -> Tensor:
        logits: Tensor = net(image)
        return logits + 0.1 * torch.randn_like(logits)

    def probabilities(image: Tensor) -> Tensor:
        logits: Tensor = net(image)
        return logits.softmax(1)

    assert "constant_prediction" in codes(evaluate(constant, suite=suite))
    assert "random_outputs" in codes(evaluate(random, suite=suite))
    assert codes(evaluate(probabilities, suite=suite)) == ["probabilities_not_logits"]
    assert codes(evaluate(suite=suite)) == []


def test_counts_masks_that_are_empty_or_leave_nothing() -> None:
    mask = torch.zeros(ROWS, 1, 15, 15, dtype=torch.bool)
    mask[:, :, 4:9, 4:9] = True
    mask[:3] = True
    mask[5:7] = False
    table = evaluate(data=images(mask=mask), suite=one(PGD(epsilon=0.1), 1.0, region="background"))
    found = {finding.code: finding.numbers for finding in table.warnings}
    assert found["untouched_images"]["n_images"] == 3
    assert found["empty_object_masks"]["n_images"] == 2
    assert table.cells[0].n_untouched == 3
    assert table.cells[0].robust >= 2 / ROWS


def test_few_classes_shrink_the_team_and_say_so() -> None:
    def two(image: Tensor) -> Tensor:
        logits: Tensor = trained_net()(image)
        return logits[:, :2]

    data = images(target=torch.arange(ROWS) % 2)
    table = evaluate(two, data, suite=one(replace(TEAM, steps=2), 0.01))
    assert codes(table) == ["few_classes"]


def test_regions_of_any_block_and_of_anybodys_masks() -> None:
    everywhere = torch.ones(1, 1, 15, 15, dtype=torch.bool)
    wide = one(PGD(epsilon=0.1), 0.04)
    given = one(PGD(epsilon=0.1), 0.04, region=user_region("mine", everywhere))
    expected, found = evaluate(suite=wide), evaluate(suite=given)
    assert [replace(cell, region="full") for cell in found.cells] == list(expected.cells)
    assert {row["region"] for row in found.log.to_pylist()} == {"mine"}
    blocks = [one(PGD(epsilon=0.1), 0.3, region=name) for name in ("block_2", "block_0.9")]
    small, large = (evaluate(suite=suite).mean_robust for suite in blocks)
    assert small > large
    with pytest.raises(DataError, match="masks of the images' size"):
        evaluate(suite=one(PGD_3, 0.1, region=user_region("mine", everywhere[..., :4])))


def test_restores_the_module() -> None:
    net = copy.deepcopy(trained_net())
    evaluate(net, suite=one(PGD(epsilon=0.01), 0.01))
    assert not any(module.training for module in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    with pytest.raises(ConfigError, match="no object masks"):
        evaluate(net, images(mask=None))
    assert all(p.requires_grad for p in net.parameters())


def test_refuses_bad_input() -> None:
    with pytest.raises(DataError, match="pixels lie in"):
        evaluate(data=images(image=2 * unseen_batch().image[:ROWS]))
    with pytest.raises(DataError, match="object masks are"):
        evaluate(data=images(mask=torch.zeros(ROWS, 1, 4, 4, dtype=torch.bool)))
    with pytest.raises(ConfigError, match="no object masks"):
        evaluate(data=images(mask=None))
    with pytest.raises(TrainingDivergedError, match="NaN or infinite"):
        evaluate(lambda image: image.flatten(1)[:, :5] * math.nan)
    with pytest.raises(ConfigError, match="training mode: call model"):
        evaluate(copy.deepcopy(trained_net()).train())
    with pytest.raises(ConfigError, match="batch_size is 0"):
        evaluate(batch_size=0)
    with pytest.raises(DataError, match="the set is empty"):
        evaluate(data=images(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "backround"}, "did you mean background"),
        ({"epsilons": ()}, "epsilons is empty"),
        ({"epsilons": (0.2, 0.1)}, "in ascending order"),
        ({"epsilons": (0.0, 0.1)}, "epsilon is 0.0: use a radius above 0"),
        ({"epsilons": (0.1, 8.0)}, "epsilon is 8.0"),
        ({"attacks": ()}, "attacks is empty"),
        ({"attacks": (("a", replace(PGD_3, targeted=True)),)}, "are targeted"),
        ({"attacks": (("a", PGD_3), ("a", FAB(epsilon=0.1)))}, "use a name once"),
        ({"attacks": (("a", PGD_3), ("b", FAB(epsilon=0.1, norm="l2")))}, "for each norm"),
    ],
)
def test_refuses_impossible_threats(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL.threats[0], **change)


def test_refuses_impossible_suites() -> None:
    with pytest.raises(ConfigError, match=r"threats is empty.*max_images is 0"):
        Suite(name="x", summary="x", threats=(), max_images=0)
    with pytest.raises(ConfigError, match="use each pair once"):
        replace(SMALL, threats=SMALL.threats[:1] * 2)


def test_changes_are_measured_in_all_norms() -> None:
    change = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    change[0, 0, 0, 0], change[0, 2, 0, 0] = -0.3, 0.4
    expected = [[0.4, 0.5, 2, 0.25 / 12], [0, 0, 0, 0]]
    torch.testing.assert_close(
        changes(
            change,
        ),
        torch.tensor(expected, dtype=torch.float64),
    )


@pytest.mark.parametrize("cascade", [True, False])
def test_a_cell_has_the_means_of_the_changes_that_broke(cascade: bool) -> None:
    table = evaluate(suite=one(PGD_3, 0.03, 0.2), cascade=cascade)
    broken = [row for row in table.log.to_pylist() if row["epsilon"] == 0.03]
    first, last = table.cells
    assert len(broken) == round((table.clean - first.robust) * ROWS) > 2
    for name in ("l2", "l0", "mse"):
        mean = sum(row[name] for row in broken) / len(broken)
        assert getattr(first, name) == pytest.approx(mean, rel=1e-5)
    # A larger ball is left by larger changes; a cascade keeps what fooled in a smaller one.
    assert (last.l2 or 0) > (first.l2 or 0) > 0
    assert table.to_arrow()["l2"].to_pylist() == [first.l2, last.l2]
    assert [each.l2 for each in evaluate(suite=one(PGD_3, 1e-9)).cells] == [None]


def test_the_larger_team_restarts_and_adds_an_untargeted_loss() -> None:
    team = AutoAttack(epsilon=0.01, version="plus", n_targets=4).members(5)
    assert [name for name, _ in team] == ["apgd-ce", "apgd-dlr", "square", "apgd-t", "fab-t"]
    found = {name: attack for name, attack in team}
    assert [getattr(found[name], "restarts", 1) for name in found] == [5, 5, 1, 1, 5]
    assert [name for name, _ in AutoAttack(epsilon=0.01, version="plus").members(2)] == [
        *("apgd-ce", "square", "fab-t")
    ]


def test_l2_threats_are_measured_in_l2() -> None:
    table = evaluate(suite=one(PGD(epsilon=0.5, norm="l2"), 0.8, 1.6))
    assert table.robust(region="full", attack="a", epsilon=1.6, norm="l2") < table.clean
    broken = [row for row in table.log.to_pylist() if row["attack"] == "a"]
    assert broken
    assert all(0.01 < row["perturbation_norm"] <= row["epsilon"] * 1.0001 for row in broken)
    assert sizes(torch.ones(1, 1, 2, 2), "l2").tolist() == [2.0]
