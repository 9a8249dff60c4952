"""H-SPLID: HSIC-based saliency-preserving latent information decomposition (arXiv 2510.20627).

The objective, with z_s / z_n the salient / non-salient features, x the images and y the labels:

    lambda_s L_s + lambda_n L_n + rho_s HSIC(z_s, x) + rho_n HSIC(z_n, y)
      - salient_label_weight HSIC(z_s, y) - nonsalient_input_weight HSIC(z_n, x)
      + cross_space_weight HSIC(z_n, z_s)

L_s compresses each class around its centre and L_n everything around the global centre; HSIC is
the normalised estimator. Cross-entropy is a term of its own and sees z masked to its salient part.

Deviation of the released code, kept as the default because the published figures come from it:
its function of HSIC terms returns them in another order than its caller unpacks them, so that
each weight multiplies its counterpart's term,

    rho_s HSIC(z_n, y) + rho_n HSIC(z_s, x)
      - salient_label_weight HSIC(z_n, x) - nonsalient_input_weight HSIC(z_s, y).

``hsic_pairing`` chooses between that (``released``) and the formula above (``paper``). With it the
collapse that the paper reports for rho_n >= 0.5 is what one expects: that weight presses all
information on the image out of the salient features.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config.methods import HsplidConfig
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.hsic import normalised_operator, operator_product
from hsplid_core.methods._hsplid_split import (
    Centres,
    compression,
    initial_centres,
    require_all_classes,
    salient_betas,
    salient_mask,
    scatters,
    update_centres,
)
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term
from hsplid_core.models.masked import MaskedClassifier


class _Pairing(NamedTuple):
    """Which two variables each configured HSIC weight multiplies."""

    rho_s: tuple[str, str]
    rho_n: tuple[str, str]
    salient_label_weight: tuple[str, str]
    nonsalient_input_weight: tuple[str, str]


_PAIRINGS = {
    "paper": _Pairing(
        rho_s=("salient", "input"),
        rho_n=("nonsalient", "label"),
        salient_label_weight=("salient", "label"),
        nonsalient_input_weight=("nonsalient", "input"),
    ),
    "released": _Pairing(
        rho_s=("nonsalient", "label"),
        rho_n=("salient", "input"),
        salient_label_weight=("nonsalient", "input"),
        nonsalient_input_weight=("salient", "label"),
    ),
}


class _Operators:
    """The normalised operators of one step, each computed once and only if a term asks."""

    def __init__(self, step: ForwardPass, term: HsplidTerm) -> None:
        self._step = step
        self._term = term

    def _gaussian(self, x: Tensor) -> Tensor:
        return normalised_operator(x, sigma=self._term.config.sigma)

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor]:
        return self._term.split(self._step.features)

    @cached_property
    def salient(self) -> Tensor:
        return self._gaussian(self._parts[0])

    @cached_property
    def nonsalient(self) -> Tensor:
        return self._gaussian(self._parts[1])

    @cached_property
    def input(self) -> Tensor:
        return self._gaussian(self._step.inputs.detach().flatten(1))

    @cached_property
    def label(self) -> Tensor:
        config = self._term.config
        one_hot = F.one_hot(self._step.batch.target, self._step.logits.shape[1])
        return normalised_operator(
            one_hot.to(self._step.features.dtype), kernel=config.label_kernel, sigma=config.sigma
        )


def _init_samples(fraction: float, class_counts: tuple[int, ...] | None) -> int | None:
    """Return how many images initialise the decomposition; None takes all."""
    if fraction == 1:
        return None
    if class_counts is None:
        raise ConfigError(
            f"init_fraction is {fraction} but nobody counted the training images: give Shape its "
            "class_counts, or use init_fraction 1"
        )
    return max(1, round(fraction * sum(class_counts)))


class HsplidTerm(Term):
    """H-SPLID's part of an objective, with the state of its decomposition in buffers.

    Args:
        config: Hyperparameters.
        shape: Sizes of the model and of an epoch.
    """

    centres: Tensor
    counts: Tensor
    overall_centre: Tensor
    beta: Tensor
    beta_running: Tensor

    couples_batch = True

    def __init__(self, config: HsplidConfig, shape: Shape) -> None:
        super().__init__()
        self.config = config
        self._num_classes = shape.num_classes
        self._init_samples = _init_samples(config.init_fraction, shape.class_counts)
        # A short last batch never reaches the published threshold within its own epoch at
        # fraction 1; the update then slips into the next one, as it does there.
        self._update_after = (
            config.beta_update_fraction * shape.batches_per_epoch * shape.batch_size
        )
        centres = initial_centres(shape.num_classes, shape.num_features)
        self.register_buffer("centres", centres.classes)
        self.register_buffer("counts", centres.counts)
        self.register_buffer("overall_centre", centres.overall)
        self.register_buffer("beta", torch.ones(shape.num_features))
        self.register_buffer("beta_running", torch.ones(shape.num_features))
        self._batch_beta = torch.ones(shape.num_features)
        # Plain numbers, so that no step waits for the device to read them.
        self._samples_seen = 0
        self._include_hsic = False
        self._may_split = False
        self._mask_is_stale = True
        self._refresh_columns()

    # -- state ---------------------------------------------------------------------------------

    def _centres(self) -> Centres:
        return Centres(self.centres, self.counts, self.overall_centre)

    def _store(self, centres: Centres) -> None:
        self.centres, self.counts, self.overall_centre = centres

    def _betas_of(self, features: Tensor, target: Tensor) -> Tensor:
        within, overall = scatters(features, target, self._centres())
        return salient_betas(within, overall, self.config.collapsed_dims)

    def get_extra_state(self) -> dict[str, int]:
        """Return what a checkpoint keeps besides the buffers."""
        return {"samples_seen": self._samples_seen}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what a checkpoint kept besides the buffers."""
        self._samples_seen = state["samples_seen"]

    def _refresh_columns(self) -> None:
        """Read the hard assignment off beta; done only when beta may have changed."""
        self.salient = salient_mask(self.beta, self.config.variation)
        self._columns = self.salient.nonzero()[:, 0], (~self.salient).nonzero()[:, 0]

    @property
    def salient_dims(self) -> int:
        """Number of features that the hard assignment calls salient."""
        return len(self._columns[0])

    @property
    def splits_hard(self) -> bool:
        """Whether columns are separated now: both spaces then hold more than one dimension."""
        smaller = min(len(columns) for columns in self._columns)
        return self.config.hard_split and self._may_split and smaller > 1

    def split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Split features [B, D] into salient and non-salient parts by the current state."""
        if self.splits_hard:
            return features[:, self._columns[0]], features[:, self._columns[1]]
        return features * self.beta, features * (1 - self.beta)

    # -- hooks of the training loop --------------------------------------------------------------

    @torch.no_grad()
    def start(self, model: MaskedClassifier, batches: Iterable[Batch]) -> None:
        """Initialise centres and betas from the training images, encoded in eval mode.

        Raises:
            DataError: A class has no image in the sample.
        """
        was_training = model.training
        model.eval()
        encoded: list[tuple[Tensor, Tensor]] = []
        n_encoded = 0
        for batch in batches:
            encoded.append((model.encode(batch.image), batch.target))
            n_encoded += len(batch.target)
            if self._init_samples is not None and n_encoded >= self._init_samples:
                break
        model.train(was_training)
        features = torch.cat([z for z, _ in encoded])[: self._init_samples].to(self.beta.dtype)
        target = torch.cat([y for _, y in encoded])[: self._init_samples]
        require_all_classes(target, self._num_classes)
        self._store(update_centres(self._centres(), features, target))
        self.beta = self._betas_of(features, target)
        self.beta_running = self.beta.clone()
        self._refresh_columns()

    def start_epoch(self, epoch: int) -> None:
        """Decide whether the HSIC terms and the hard split act in this epoch (from 0)."""
        self._may_split = epoch >= self.config.beta_warmup_epochs
        self._refresh_columns()
        self._mask_is_stale = True
        if self.config.hsic_warmup == "hard_split":
            # As published, this looks at the salient side only: HSIC can be on while the split
            # itself is still soft.
            self._include_hsic = self.config.hard_split and self.salient_dims > 1
        else:
            self._include_hsic = epoch >= self.config.hsic_warmup

    @torch.no_grad()
    def after_encode(self, model: MaskedClassifier, features: Tensor, target: Tensor) -> None:
        """Move centres, betas and the model's feature mask by this batch."""
        features = features.detach().to(self.beta.dtype)
        self._store(update_centres(self._centres(), features, target))
        self._batch_beta = self._betas_of(features, target)
        if self.config.update_betas == "per_step":
            self._move_beta(self._batch_beta)
        else:
            step = self.config.beta_step
            self.beta_running = step * self.beta_running + (1 - step) * self._batch_beta
            self._samples_seen += len(target)
            if self._samples_seen >= self._update_after:
                self._move_beta(self.beta_running)
                self._samples_seen = 0
        if self._mask_is_stale:
            mask = self.salient.to(self.beta.dtype) if self.splits_hard else self.beta
            model.feature_mask.copy_(mask)
            self._mask_is_stale = False

    def _move_beta(self, towards: Tensor) -> None:
        step = self.config.beta_step
        self.beta = step * self.beta + (1 - step) * towards
        self._refresh_columns()
        self._mask_is_stale = True

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return the features."""
        return (step.features.to(self.beta.dtype),)

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the compression losses and the HSIC terms that act in this epoch."""
        config, (z,) = self.config, rows
        summands = []
        if config.lambda_s:
            value = compression(z, self.centres, self._batch_beta, step.batch.target)
            summands.append(Summand("salient_compression", config.lambda_s, value))
        if config.lambda_n:
            value = compression(z, self.overall_centre[None], 1 - self._batch_beta, None)
            summands.append(Summand("nonsalient_compression", config.lambda_n, value))
        if self._include_hsic:
            summands += self._hsic(step._replace(features=z))
        return summands

    def _hsic(self, step: ForwardPass) -> list[Summand]:
        config, operators = self.config, _Operators(step, self)
        pairing = _PAIRINGS[config.hsic_pairing]
        terms = [
            (config.rho_s, pairing.rho_s),
            (config.rho_n, pairing.rho_n),
            (-config.salient_label_weight, pairing.salient_label_weight),
            (-config.nonsalient_input_weight, pairing.nonsalient_input_weight),
            (config.cross_space_weight, ("nonsalient", "salient")),
        ]
        return [
            Summand(
                f"hsic_{first}_{second}",
                weight,
                operator_product(getattr(operators, first), getattr(operators, second)),
            )
            for weight, (first, second) in terms
            if weight
        ]

    def metrics(self) -> dict[str, float]:
        """Return the sizes of the two spaces and the mean beta."""
        return {
            "salient_dims": float(self.salient_dims),
            "nonsalient_dims": float(len(self.beta) - self.salient_dims),
            "beta_mean": float(self.beta.mean()),
        }


def build(config: HsplidConfig, shape: Shape) -> HsplidTerm:
    """Make the term."""
    return HsplidTerm(config, shape)
