"""Plain writings of the papers' training steps, from their formulas and as their code runs them.

Float32 with PyTorch's own settings: kernels in the order of the formulas, HSIC of the features by
way of the CPU and with explicit inverses, an optimiser that is not fused. Each function returns
what takes a step and gives the loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.data.batch import Batch
from hsplid_core.methods import AdversarialConfig, HsplidConfig, SibConfig
from hsplid_core.models import MaskedClassifier
from tests.benchmarks.bench_hsplid import published_hsic
from tests.benchmarks.bench_sib import published_mask

Loss = Callable[[MaskedClassifier, Batch], Tensor]
CLIP_NORM = 1000.0


def stepper(model: MaskedClassifier, batch: Batch, loss: Loss) -> Callable[[], Tensor]:
    """Return a step of Adam on a loss."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)

    def step() -> Tensor:
        optimiser.zero_grad()
        value = loss(model, batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimiser.step()
        return value.detach()

    return step


def inputs_of(model: MaskedClassifier, image: Tensor) -> Tensor:
    inputs: Tensor = (image - model.mean) / model.std
    return inputs


def cross_entropy(model: MaskedClassifier, batch: Batch) -> Tensor:
    logits: Tensor = model.head(model.encoder(inputs_of(model, batch.image)))
    return F.cross_entropy(logits, batch.target)


def adversarial(config: AdversarialConfig) -> Loss:
    """Cross-entropy of images that projected gradient ascent in an L2 ball has found."""
    size = 2.5 * config.epsilon / config.steps

    def loss(model: MaskedClassifier, batch: Batch) -> Tensor:
        def length(x: Tensor) -> Tensor:
            norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
            return norms.clamp_min(1e-12)[:, None, None, None]

        model.eval()
        delta = torch.randn_like(batch.image)
        delta = config.epsilon * delta / length(delta)
        for _ in range(config.steps):
            delta.requires_grad_()
            image = (batch.image + delta).clamp(0, 1)
            value = F.cross_entropy(
                model.head(model.encoder(inputs_of(model, image))), batch.target
            )
            value.backward()
            assert delta.grad is not None
            moved = delta.detach() + size * delta.grad / length(delta.grad)
            delta = moved * (config.epsilon / length(moved)).clamp_max(1)
        model.train()
        model.zero_grad()
        image = (batch.image + delta.detach()).clamp(0, 1)
        logits = model.head(model.encoder(inputs_of(model, image)))
        return F.cross_entropy(logits, batch.target)

    return loss


def sib(config: SibConfig) -> Loss:
    """Cross-entropy, less the foreground's HSIC, plus the background's variance."""

    def loss(model: MaskedClassifier, batch: Batch) -> Tensor:
        x = inputs_of(model, batch.image).requires_grad_()
        logits = model.head(model.encoder(x))
        energy = 0.5 * logits.softmax(dim=1).square().sum()
        (r,) = torch.autograd.grad(energy, x, create_graph=True)
        mask = published_mask(r, config.window, config.temperature, config.slope)[:, None]
        f_r = F.normalize((r * mask).flatten(1), dim=1)
        f_x = F.normalize((x.detach() * mask).flatten(1), dim=1)
        m = len(f_r)
        centring = torch.eye(m, device=r.device) - torch.ones(m, m, device=r.device) / m
        hsic = torch.trace(f_r @ f_r.T @ centring @ f_x @ f_x.T @ centring) / (m - 1) ** 2
        variance = (r * (1 - mask)).flatten(1).var(dim=1).mean()
        classified = F.cross_entropy(logits, batch.target)
        return classified - config.lambda_fg * hsic + config.lambda_bg * variance

    return loss


class Hsplid:
    """Cross-entropy, both compressions, and HSIC of either space by way of the CPU.

    Args:
        config: Its weights; the hard split is not on yet, as in a run's first epochs.
        model: Encodes the batch that centres and betas begin with.
        batch: That batch.
    """

    def __init__(self, config: HsplidConfig, model: MaskedClassifier, batch: Batch) -> None:
        self._config = config
        self._classes = model.num_classes
        with torch.no_grad():
            model.eval()
            z = model.encoder(inputs_of(model, batch.image))
            model.train()
            self._counts = torch.full((self._classes,), 100.0, device=z.device)
            self._centres = torch.zeros(self._classes, z.shape[1], device=z.device)
            self._overall = torch.zeros(z.shape[1], device=z.device)
            self._move_centres(z, batch.target)
            self._beta = self._betas(z, batch.target)

    def _move_centres(self, z: Tensor, target: Tensor) -> None:
        fresh = bool((self._centres == 0).all())
        for k in range(self._classes):
            of_class = z[target == k]
            if len(of_class) == 0:
                continue
            self._counts[k] = 0.5 * self._counts[k] + 0.5 * len(of_class)
            rate = 1.0 if fresh else 1 / (float(self._counts[k]) + 1)
            self._centres[k] = (1 - rate) * self._centres[k] + rate * of_class.mean(dim=0)
        self._overall = 0.5 * self._overall + 0.5 * z.mean(dim=0)

    def _betas(self, z: Tensor, target: Tensor) -> Tensor:
        within = torch.zeros_like(self._overall)
        for k in range(self._classes):
            within += (z[target == k] - self._centres[k]).square().sum(dim=0)
        overall = (z - self._overall).square().sum(dim=0)
        ratios = torch.stack([within / (overall + 1e-12), overall / (within + 1e-12)])
        betas: Tensor = torch.softmax(-ratios.log(), dim=0)[0].nan_to_num(nan=1e-12)
        return betas

    def __call__(self, model: MaskedClassifier, batch: Batch) -> Tensor:
        """Return the loss."""
        config, target = self._config, batch.target
        x = inputs_of(model, batch.image)
        z = model.encoder(x)
        with torch.no_grad():
            self._move_centres(z, target)
            own = self._betas(z, target)
        logits = model.head(z * self._beta)
        salient = torch.zeros((), device=z.device)
        for k in range(self._classes):
            gaps = (z[target == k] - self._centres[k]) * own
            salient = salient + gaps.square().sum() / (len(z) * self._classes)
        nonsalient = ((z - self._overall) * (1 - own)).square().sum(dim=1).mean()
        images, labels = x.flatten(1).cpu(), F.one_hot(target, self._classes).float().cpu()
        parts = (z * self._beta).cpu(), (z * (1 - self._beta)).cpu()
        # As released: each weight multiplies its counterpart's term, and six values are computed.
        label = published_hsic(parts[1], labels, linear_y=True)
        image = published_hsic(parts[0], images, linear_y=False)
        for first, second, linear in (
            (parts[0], labels, True),
            (parts[1], images, False),
            (parts[1], parts[0], False),
            (parts[0], parts[1], False),
        ):
            published_hsic(first, second, linear_y=linear)
        hsic = config.rho_s * label + config.rho_n * image
        compression = config.lambda_s * salient + config.lambda_n * nonsalient
        total: Tensor = F.cross_entropy(logits, target) + compression + hsic.to(z.device)
        return total
