"""One call, the whole table: accuracies over attacks, regions and radii, with their warnings."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import torch
from torch import Tensor

from hsplid_core.attacks import Model, ModelQueries, frozen, refuse_training_mode, region_mask
from hsplid_core.attacks.balls import CHANGES
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.evaluation.campaign import Campaign, Told
from hsplid_core.evaluation.checks import Probe, find_in_campaigns, find_in_suite
from hsplid_core.evaluation.suites import Suite, find_suite
from hsplid_core.evaluation.table import LOG_SCHEMA, Cell, RobustnessTable


def evaluate_robustness(
    model: Model,
    images: Images,
    suite: Suite | str,
    *,
    batch_size: int = 256,
    seed: int = 0,
    device: torch.device | str = "cpu",
    cascade: bool = True,
    told: Told | None = None,
) -> RobustnessTable:
    """Measure clean and robust accuracy over a suite's attacks, regions and radii.

    Images that are misclassified as they are count as broken everywhere and are not attacked.

    A cascade goes through the attacks in their order and, for each, through the radii upwards. It
    attacks only what still stands: what an attack breaks at one radius is broken at all larger
    ones and for all attacks after it, and an image leaves an attack as soon as it fools the
    model. So curves cannot rise. APGD goes on from what it has found at smaller radii
    (`attacks.cascade`), all other attacks start as they would alone: they cannot break less than
    without a cascade, and APGD never has in the benchmark. An attack's row then says what it and
    those before it broke together.

    Args:
        model: Pixels to logits, on `device`; a module in eval mode.
        images: The images, their classes and, for some regions, their object masks.
        suite: A suite, or the name of one of `SUITES`.
        batch_size: Images per forward pass, at least 1; does not change the result.
        seed: Seed of attacks and random regions.
        device: Where the batches are put.
        cascade: False attacks every cell on its own with the attacks as the suite has them, for
            figures that compare one to one with published tables.
        told: Called after each attack on each batch, for strong suites take long.

    Returns:
        The table, with a log of every image and with warnings.

    Raises:
        ConfigError: A value is out of range, the model is in training mode, or a region needs
            masks that the images lack.
        DataError: There is no image, or a batch is not what it should be: pixels outside [0, 1],
            masks of another size.
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        H-SPLID (arXiv 2510.20627), Table 2; Croce and Hein 2020 (arXiv 2003.01690) for the team
        and the order.
    """
    if isinstance(suite, str):
        suite = find_suite(suite)
    refuse_training_mode(model)
    positions = choose_positions(images, suite.max_images)
    campaigns: list[Campaign] = []
    heads: list[Tensor] = []  # [B, 3] each: index, label, prediction
    probe = Probe()
    with frozen(model), torch.inference_mode(False), torch.no_grad():
        scorer = ModelQueries(model)
        for batch in read_batches(images, positions, batch_size, device):
            logits = scorer.logits(batch.image)
            scorer.verify()  # before any work on attacks
            if not campaigns:
                for threat in suite.threats:  # refuse what cannot be had before any work
                    region_mask(threat.region, batch, seed=seed)
                campaigns = [
                    Campaign(
                        threat,
                        logits.shape[1],
                        cascade=cascade,
                        seed=seed,
                        n_images=len(positions),
                        told=told,
                    )
                    for threat in suite.threats
                ]
            probe.look(scorer, batch, logits)
            prediction = logits.argmax(1)
            heads.append(torch.stack([batch.index, batch.target, prediction], dim=1).cpu())
            for campaign in campaigns:
                campaign.run(scorer, batch, prediction != batch.target)
        scorer.verify()
    head = torch.cat(heads)
    n_correct = int((head[:, 1] == head[:, 2]).sum())
    cells = _cells(campaigns, n_correct, len(head))
    return RobustnessTable(
        suite=suite.name,
        clean=n_correct / len(head),
        cells=cells,
        n_images=len(head),
        seed=seed,
        cascade=cascade,
        warnings=(
            *find_in_suite(suite, probe.n_classes),
            *probe.findings(head),
            *find_in_campaigns(campaigns, cells, len(head)),
        ),
        log=_log(campaigns, head),
        correct=_correct(campaigns),
    )


def _cells(campaigns: Sequence[Campaign], n_correct: int, n_images: int) -> tuple[Cell, ...]:
    return tuple(
        Cell(
            region=campaign.threat.region_name,
            norm=campaign.threat.norm,
            attack=attack,
            epsilon=epsilon,
            robust=(n_correct - n_broken) / n_images,
            n_untouched=campaign.n_untouched,
            **_mean_changes(campaign.change[attack][place], n_broken),
        )
        for campaign in campaigns
        for attack, broken in campaign.broken.items()
        for place, (epsilon, n_broken) in enumerate(
            zip(campaign.threat.epsilons, broken.tolist(), strict=True)
        )
    )


def _mean_changes(total: Tensor, n_broken: int) -> dict[str, float]:
    if not n_broken:
        return {}
    means = dict(zip(CHANGES, (total / n_broken).tolist(), strict=True))
    return {name: means[name] for name in ("l2", "l0", "mse")}


def _correct(campaigns: Sequence[Campaign]) -> Tensor:
    return torch.cat(
        [torch.cat(batches).T for campaign in campaigns for batches in campaign.correct.values()]
    )


def _log(campaigns: Sequence[Campaign], head: Tensor) -> pa.Table:
    index, label, prediction = head.T.tolist()
    parts = [
        pa.table(
            {
                "index": index,
                "label": label,
                "prediction": prediction,
                "region": [campaign.threat.region_name] * len(index),
                "norm": [campaign.threat.norm] * len(index),
                **campaign.columns(),
            },
            schema=LOG_SCHEMA,
        )
        for campaign in campaigns
    ]
    return pa.concat_tables(parts)
