"""S-IB: a spatial information bottleneck on a model's gradient reconstruction (arXiv 2511.09239).

Symbols: x [B, C, H, W] the normalised images; p = softmax(logits) [B, K]; * is elementwise.

    R = dE/dx with E = 1/2 sum over batch and classes of p^2      the reconstruction, [B, C, H, W]
    M = density mask of R (``_sib_mask``)                         [B, H, W], in (0, 1)
    A = HSIC(f_R, f_x), linear kernels; rows of f are R * M and x * M, flattened, of length one
    V = mean over the batch of the unbiased variance over (C, H, W) of R * (1 - M)

The README's objective is CE - lambda_fg A + lambda_bg V (``linear``); the authors' training
scripts minimise CE + lambda_bg exp(V) + lambda_fg exp(-A) (``exp``). Both have nearly the same
gradients while A and V are small. Cross-entropy is a term of its own.

R keeps its graph, so the parameters get second-order gradients. It is computed in the mode that
the model is in, from the logits that classify, so behind a feature mask if there is one.

Deviation: an image without any reconstruction (R = 0) has no direction; its row of f_R is zero
and, unlike in the released code, which divides by 1e-12 there, passes no gradient on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsplid_core.config.methods import SibConfig
from hsplid_core.hsic.kernels import centred, gram
from hsplid_core.methods._input_gradient import input_gradient
from hsplid_core.methods._sib_mask import density_mask
from hsplid_core.methods._sib_sums import masked_gram, pixel_sums
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term, full_precision

# As torch's own normalising of rows has it, which the released code uses.
_SHORTEST = 1e-12


class SibTerm(Term):
    """S-IB's part of an objective.

    Args:
        config: Hyperparameters.
    """

    needs_input_gradient = True
    couples_batch = True

    def __init__(self, config: SibConfig) -> None:
        super().__init__()
        self.config = config
        self._steps = 0

    def get_extra_state(self) -> dict[str, int]:
        """Return what a checkpoint keeps: the step decides the random projection."""
        return {"steps": self._steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore what a checkpoint kept."""
        self._steps = state["steps"]

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return the reconstruction."""
        return (full_precision(reconstruct(step.logits, step.inputs)),)

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the foreground and the background term, each only if it has a weight."""
        with torch.autocast(step.inputs.device.type, enabled=False):
            return self._summands(rows[0], full_precision(step.inputs))

    def _summands(self, reconstruction: Tensor, inputs: Tensor) -> list[Summand]:
        config = self.config
        mask = density_mask(
            reconstruction,
            window=config.window,
            temperature=config.temperature,
            slope=config.slope,
        )[:, None]
        summands = []
        if config.lambda_fg:
            # x only measures here; the images' own gradient would go nowhere.
            value = foreground_hsic(
                reconstruction, inputs.detach(), mask, self._projection(inputs)
            )
            if config.objective == "exp":
                summands.append(Summand("foreground_exp", config.lambda_fg, (-value).exp()))
            else:
                summands.append(Summand("foreground_hsic", -config.lambda_fg, value))
        if config.lambda_bg:
            value = background_variance(reconstruction, mask)
            if config.objective == "exp":
                summands.append(Summand("background_exp", config.lambda_bg, value.exp()))
            else:
                summands.append(Summand("background_variance", config.lambda_bg, value))
        return summands

    def _projection(self, inputs: Tensor) -> Tensor | None:
        """Draw this step's random projection, [C H W, random_features], from the step's number."""
        if self.config.random_features is None:
            return None
        generator = torch.Generator(inputs.device).manual_seed(self._steps)
        self._steps += 1
        size = (inputs[0].numel(), self.config.random_features)
        return torch.randn(size, generator=generator, device=inputs.device, dtype=inputs.dtype)


def reconstruct(logits: Tensor, inputs: Tensor) -> Tensor:
    """Project decisions back to the images: R = d(1/2 sum p^2)/dx, with its graph.

    Args:
        logits: Class scores, [B, K].
        inputs: Normalised images that require a gradient, [B, C, H, W].

    Returns:
        R, [B, C, H, W].
    """
    energy = 0.5 * torch.softmax(full_precision(logits), dim=1).square().sum()
    return input_gradient(energy, inputs, create_graph=True)


def foreground_hsic(
    reconstruction: Tensor, inputs: Tensor, mask: Tensor, projection: Tensor | None = None
) -> Tensor:
    """Measure how far the directions of reconstruction and image depend on each other.

    Args:
        reconstruction: R, [B, C, H, W].
        inputs: x, [B, C, H, W].
        mask: M, [B, 1, H, W].
        projection: Common linear map of both, [C H W, k]; None for none.

    Returns:
        A, a scalar.
    """
    if projection is None:
        grams = (masked_gram(image, mask) for image in (reconstruction, inputs))
        first, second = (_unit_gram(products, _SHORTEST) for products in grams)
    else:
        rows = ((image * mask).flatten(1) @ projection for image in (reconstruction, inputs))
        first, second = (_unit_gram(gram(row), 0.0) for row in rows)
    return (centred(first) * centred(second)).sum() / (len(mask) - 1) ** 2


def _unit_gram(products: Tensor, shortest: float) -> Tensor:
    """Turn products of rows, [B, B], into those of rows of length one.

    A row that is shorter than ``shortest`` is divided by that instead; a row of zeros stays zero
    and gets no gradient.
    """
    squares = products.diagonal()
    lengths = torch.where(squares > 0, squares, 1).sqrt().clamp_min(shortest)
    factors = torch.where(squares > 0, 1 / lengths, 0)
    return products * factors * factors[:, None]


def background_variance(reconstruction: Tensor, mask: Tensor) -> Tensor:
    """Average each image's variance of the reconstruction outside the mask.

    The variance runs over all C H W values; those that the mask takes out count as zeros.

    Args:
        reconstruction: R, [B, C, H, W].
        mask: M, [B, 1, H, W].

    Returns:
        V, a scalar.
    """
    count = reconstruction[0].numel()
    outside = 1 - mask[:, 0]
    sums, squares = pixel_sums(reconstruction)
    total = (sums * outside).sum(dim=(1, 2))
    spread = (squares * outside.square()).sum(dim=(1, 2)) - total.square() / count
    return spread.mean() / (count - 1)


def build(config: SibConfig, shape: Shape) -> SibTerm | None:
    """Make the term; None where both weights are 0."""
    return SibTerm(config) if config.lambda_fg or config.lambda_bg else None
