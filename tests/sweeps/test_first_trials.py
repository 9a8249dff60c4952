"""What a new study tries first."""

from __future__ import annotations

from sweeps.search.first_trials import first_trials
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides

BETA_STEP, SWITCH = "method.hsplid.beta_step", "use/method.hsplid.rho_n"


def test_the_paper_comes_first_then_the_specs_own_values() -> None:
    spec = load_spec("coco_hsplid", parse_overrides(["data.root=/data/coco"]))
    paper, own = first_trials(spec, {})
    assert paper[BETA_STEP] == 0.8
    assert own == paper  # real data: the spec holds the paper's values; the study takes them once
    demo = load_spec("coco_hsplid")
    paper, own = first_trials(demo, {})
    assert paper[BETA_STEP] == 0.8
    assert own[BETA_STEP] == demo.method["hsplid"].beta_step != 0.8


def test_fixed_values_win_and_the_paper_can_be_left_out() -> None:
    overrides = parse_overrides(["method.hsplid.rho_n=0", "search.paper_first=false"])
    (own,) = first_trials(load_spec("coco_hsplid", overrides), {"method.hsplid.rho_n": 0.0})
    assert own[SWITCH] is False
