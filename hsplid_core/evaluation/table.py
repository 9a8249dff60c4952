"""Table of robustness: accuracies, a log of every image, and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import torch
from torch import Tensor

from hsplid_core.attacks import Norm
from hsplid_core.attacks.balls import CHANGES
from hsplid_core.errors import ConfigError

SCHEMA_VERSION = 2

WarningCode = Literal[
    "black_box_beats_white_box",
    "constant_prediction",
    "empty_object_masks",
    "few_classes",
    "not_monotone",
    "probabilities_not_logits",
    "random_noise_beats_attack",
    "random_outputs",
    "step_too_large",
    "step_too_small",
    "untouched_images",
    "zero_gradients",
]

LOG_SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("prediction", pa.int64(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("norm", pa.string(), nullable=False),
        pa.field("attack", pa.string()),
        pa.field("epsilon", pa.float64()),
        pa.field("perturbation_norm", pa.float64()),
        *(pa.field(name, pa.float64()) for name in CHANGES),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION)},
)
"""Columns of `RobustnessTable.log`, a row for each image and threat.

`attack` is what broke the image at the smallest radius, `epsilon` that radius, and
`perturbation_norm` the size of the change that did it, in the norm of the threat; what it is in
other norms stands beside it (`attacks.balls.changes`). An image
misclassified as it is has the attack "clean" and zeros; one that stands has nulls.
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason to distrust a table, or a part of it.

    Attributes:
        code: What kind of reason; never changes, so that programs can look for it.
        message: What was found and what to do, for people.
        numbers: What it rests on.
    """

    code: WarningCode
    message: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Accuracy under one attack, in one region, at one radius.

    Attributes:
        region: Name of the pixels that could change.
        norm: Norm of the ball.
        attack: Name of the attack. In a cascade, what the attacks listed before it broke counts
            as broken here.
        epsilon: Radius in pixel units.
        robust: Share of all images that are classified correctly under attack.
        n_untouched: Images without a single pixel in the region, which stay as they are.
        l2: Mean Euclidean length of the changes that broke images; None where none was broken.
        l0: Mean number of changed values, each channel of a pixel one.
        mse: Mean of the changes' mean squares.
    """

    region: str
    norm: Norm
    attack: str
    epsilon: float
    robust: float
    n_untouched: int
    l2: float | None = None
    l0: float | None = None
    mse: float | None = None


@dataclass(frozen=True, kw_only=True)
class RobustnessTable:
    """Accuracies over attacks, regions and radii.

    Attributes:
        suite: Name of the suite.
        clean: Accuracy without an attack, on the same images.
        cells: Accuracies under attack.
        n_images: Images that all accuracies are shares of.
        seed: Seed of attacks and random regions.
        cascade: Whether attacks and radii went on with survivors alone.
        warnings: Reasons to distrust the numbers; look at them before anything else.
        log: A row for each image and threat, in the columns of `LOG_SCHEMA`.
        correct: Whether each image is classified correctly in each cell, bool, [cells, N]; images
            in the log's order.
    """

    suite: str
    clean: float
    cells: tuple[Cell, ...]
    n_images: int
    seed: int
    cascade: bool
    warnings: tuple[Finding, ...]
    log: pa.Table
    correct: Tensor = field(compare=False)

    def robust(self, *, region: str, attack: str, epsilon: float, norm: Norm = "linf") -> float:
        """Look one accuracy up.

        Raises:
            ConfigError: The table has no such cell.
        """
        wanted = (region, norm, attack)
        for cell in self.cells:
            here = (cell.region, cell.norm, cell.attack)
            if here == wanted and abs(cell.epsilon - epsilon) <= 1e-9:
                return cell.robust
        known = sorted({(cell.region, cell.norm, cell.attack) for cell in self.cells})
        raise ConfigError(f"the table has no cell {wanted} at epsilon {epsilon}: it has {known}")

    @property
    def mean_robust(self) -> float:
        """Mean over regions, norms and radii of the accuracy under the last attack of each."""
        values = [cell.robust for cell in self.cells if self._is_last(cell)]
        return sum(values) / len(values)

    @property
    def clean_correct(self) -> Tensor:
        """Whether each image is classified correctly as it is, bool, [N]."""
        labels = torch.tensor(self.log["label"].to_pylist()[: self.n_images])
        return labels == torch.tensor(self.log["prediction"].to_pylist()[: self.n_images])

    @property
    def mean_correct(self) -> Tensor:
        """Share of the cells of `mean_robust` that each image withstands, float64, [N]."""
        last = torch.tensor([self._is_last(cell) for cell in self.cells])
        return self.correct[last].double().mean(0)

    def _is_last(self, cell: Cell) -> bool:
        """Whether no other attack follows a cell's in its region and norm."""
        kind = (cell.region, cell.norm)
        return [c.attack for c in self.cells if (c.region, c.norm) == kind][-1] == cell.attack

    def to_arrow(self) -> pa.Table:
        """Return the cells as rows, with the clean accuracy and the warnings' codes beside."""
        metadata = {
            "schema_version": str(SCHEMA_VERSION),
            "suite": self.suite,
            "seed": str(self.seed),
            "cascade": str(self.cascade).lower(),
            "warnings": ",".join(sorted({finding.code for finding in self.warnings})),
        }
        columns = {
            "region": [cell.region for cell in self.cells],
            "norm": [cell.norm for cell in self.cells],
            "attack": [cell.attack for cell in self.cells],
            "epsilon": [cell.epsilon for cell in self.cells],
            "clean": [self.clean for _ in self.cells],
            "robust": [cell.robust for cell in self.cells],
            "n_images": [self.n_images for _ in self.cells],
            "n_untouched": [cell.n_untouched for cell in self.cells],
            **{
                name: pa.array([getattr(cell, name) for cell in self.cells], pa.float64())
                for name in ("l2", "l0", "mse")
            },
        }
        return pa.table(columns).replace_schema_metadata(metadata)
