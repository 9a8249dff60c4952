"""All methods of H-SPLID's tables in one space: the method is a choice, its values depend on it.

The choice is the field ``recipe``, which names the methods that take part. Weight decay, a method
of its own in the tables, is cross-entropy with a weight decay above zero; the penalties for
sparsity are one method of four kinds. Tables 2 to 4 have these eight rows on three data sets, each
with a file of its own in the released configs/experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from search_spaces import hbar, hsplid, sparsity
from search_spaces.search_space import ParameterValue, SearchSpace

if TYPE_CHECKING:
    import optuna

_CROSS_ENTROPY, _HBAR = "cross_entropy", "cross_entropy+hbar"
_HSPLID, _SPARSITY = "cross_entropy+hsplid", "cross_entropy+sparsity"
RECIPES = (_CROSS_ENTROPY, _HBAR, _HSPLID, _SPARSITY)

# The weight of the cross-entropy beside each method, as released.
_WEIGHTS = {_CROSS_ENTROPY: 1.0, _HBAR: 1.0, _HSPLID: 10.0, _SPARSITY: 1.0}


@dataclass(frozen=True, kw_only=True)
class Table:
    """The released configurations of one data set.

    Attributes:
        split: H-SPLID's values, and the optimiser's, which all rows share.
        ranges: Of H-SPLID and the optimiser.
        bottleneck: HBaR's weights, where they are not those of COCO.
        penalties: Weight of each penalty for sparsity.
        weight_decay: Of the row that is named after it.
        class_weights: How classes weigh in the cross-entropy of each recipe; empty where it is not
            set anywhere.
    """

    split: Mapping[str, ParameterValue]
    ranges: hsplid.Ranges
    bottleneck: Mapping[str, ParameterValue] = field(default_factory=dict)
    penalties: Mapping[str, float]
    weight_decay: float
    class_weights: Mapping[str, str] = field(default_factory=dict)

    def cross_entropy(self, recipe: str) -> dict[str, ParameterValue]:
        """The cross-entropy's values beside the other methods of a recipe."""
        values: dict[str, ParameterValue] = {"method.cross_entropy.weight": _WEIGHTS[recipe]}
        if self.class_weights:
            values["method.cross_entropy.class_weights"] = self.class_weights[recipe]
        return values

    @property
    def first(self) -> dict[str, ParameterValue]:
        """H-SPLID's row, as the method that the others are compared with."""
        kind, weight = next(iter(self.penalties.items()))
        return {
            "recipe": _HSPLID,
            **_own(self.split, "hsplid"),
            **_own({**hbar.PAPER, **self.bottleneck}, "hbar"),
            "method.sparsity.kind": kind,
            "method.sparsity.weight": weight,
            **self.cross_entropy(_HSPLID),
            "training.learning_rate": self.split["training.learning_rate"],
            "training.weight_decay": 0.0,
        }

    @property
    def others(self) -> tuple[dict[str, ParameterValue], ...]:
        """The other seven rows, as changes of the first."""
        return (
            self._row(_CROSS_ENTROPY),
            self._row(_CROSS_ENTROPY, {"training.weight_decay": self.weight_decay}),
            self._row(_HBAR),
            *(
                self._row(
                    _SPARSITY, {"method.sparsity.kind": kind, "method.sparsity.weight": weight}
                )
                for kind, weight in self.penalties.items()
            ),
        )

    def _row(
        self, recipe: str, changes: Mapping[str, ParameterValue] | None = None
    ) -> dict[str, ParameterValue]:
        return {"recipe": recipe, **self.cross_entropy(recipe), **(changes or {})}


def _own(paper: Mapping[str, ParameterValue], method: str) -> dict[str, ParameterValue]:
    return {k: v for k, v in paper.items() if k.startswith(f"method.{method}.")}


def suggest(trial: optuna.Trial, table: Table) -> dict[str, ParameterValue]:
    """Suggest a method, its values, and the optimiser's settings.

    Args:
        trial: The trial that asks.
        table: The released configurations.

    Returns:
        Config fields by dotted path, each in every trial; the published ones of methods that take
        no part.
    """
    recipe = trial.suggest_categorical("recipe", list(RECIPES))
    values = {**table.first, "recipe": recipe, **table.cross_entropy(recipe)}
    if recipe == _HSPLID:
        values |= hsplid.suggest_method(trial, table.ranges)
    elif recipe == _HBAR:
        values |= hbar.suggest_method(trial)
    elif recipe == _SPARSITY:
        values |= sparsity.suggest_method(trial)
    # One range for all methods: a parameter has one range in a study.
    return {**values, **hsplid.suggest_optimiser(trial, table.ranges)}


def _space(table: Table) -> SearchSpace:
    return SearchSpace(partial(suggest, table=table), table.first, table.others)


# configs/experiment/coco-animals/resnet18
COCO = _space(
    Table(
        split=hsplid.PAPER,
        ranges=hsplid.COCO_RANGES,
        penalties=sparsity.RELEASED,
        weight_decay=1e-3,
    )
)

# configs/experiment/isic2017/resnet50. Each file asks for balanced class weights, but only
# StandardClassificationModel has them: SplitTrain.on_fit_start never sets them up, and HBaR has a
# cross-entropy of its own.
ISIC = _space(
    Table(
        split=hsplid.ISIC_PAPER,
        ranges=hsplid.ISIC_RANGES,
        penalties={
            "l1_weights": 1e-5,
            "group_lasso_weights": 1e-2,
            "l1_activations": 1e-6,
            "group_lasso_activations": 1e-5,
        },
        weight_decay=1e-4,
        class_weights={
            _CROSS_ENTROPY: "balanced",
            _SPARSITY: "balanced",
            _HBAR: "none",
            _HSPLID: "none",
        },
    )
)

# configs/experiment/imagenet/resnet50
IMAGENET = _space(
    Table(
        split=hsplid.IMAGENET_PAPER,
        ranges=hsplid.IMAGENET_RANGES,
        bottleneck={"method.hbar.lambda_x": 0.005, "method.hbar.lambda_y": 0.05},
        penalties={
            "l1_weights": 1e-6,
            "group_lasso_weights": 1e-5,
            "l1_activations": 1e-4,
            "group_lasso_activations": 1e-4,
        },
        weight_decay=1e-5,
    )
)
