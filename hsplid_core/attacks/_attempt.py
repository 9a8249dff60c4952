"""What every attack does around its own search: checks, a model held still, a last look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from hsplid_core.attacks._frozen import frozen, refuse_training_mode
from hsplid_core.attacks._inputs import check_inputs
from hsplid_core.attacks.attack import Model
from hsplid_core.attacks.scoring import Scorer


@contextmanager
def attempt(
    model: Model,
    image: Tensor,
    target: Tensor,
    allowed: Tensor,
    index: Tensor,
    *,
    targeted: bool,
) -> Iterator[Scorer]:
    """Open a model for an attack; the arguments are those of `Attack.__call__`.

    Inside, parameters need no gradient and nothing is recorded but what the scorer records
    itself. At the end all logits that the scorer saw must have been numbers.

    Yields:
        The model's scorer.

    Raises:
        ConfigError: The model is in training mode.
        DataError: The tensors do not fit together, or pixels lie outside [0, 1].
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    check_inputs(image, target, allowed, index)
    refuse_training_mode(model)
    # A caller in inference mode would make tensors that autograd refuses.
    with frozen(model), torch.inference_mode(False), torch.no_grad():
        scorer = Scorer(model, targeted=targeted)
        yield scorer
        scorer.verify()
