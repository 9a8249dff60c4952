"""H-SPLID together with S-IB's terms and adversarial training, each of which may be off.

None of the papers asks whether the three help one another. The first trial is H-SPLID's own, with
the rest off. Three switches leave half of the random trials without each part, so that the sampler
compares with and without; a part that is off costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces import hsplid, sib
from search_spaces.search_space import ParameterValue, log_or_off

if TYPE_CHECKING:
    import optuna

PAPER: Mapping[str, ParameterValue] = {
    **hsplid.PAPER,
    "method.sib.lambda_fg": 0.0,
    "method.sib.lambda_bg": 0.0,
    "method.sib.window": 31,
    "method.sib.temperature": 0.1,
    "method.sib.slope": 10.0,
    "method.norm_adversarial.epsilon": 0.0,
}


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest H-SPLID's values, S-IB's weights and mask, and the epsilon to train with.

    Args:
        trial: The trial that asks.

    Returns:
        Config fields by dotted path, each in every trial; 0 where a part is off.
    """
    return {
        **hsplid.suggest(trial),
        **sib.suggest_terms(trial),
        # In units of normalised images, whose pixels have unit variance: one step of the
        # gradient's sign. 0.01 is the authors' example; 0.1 changes a pixel by about 6/255, twice
        # the largest epsilon that the robust accuracy is measured at.
        "method.norm_adversarial.epsilon": log_or_off(
            trial, "method.norm_adversarial.epsilon", 1e-3, 0.1
        ),
    }
