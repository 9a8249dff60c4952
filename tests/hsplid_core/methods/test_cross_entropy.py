from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hsplid_core.errors import ConfigError
from hsplid_core.methods import CrossEntropyConfig, Shape
from hsplid_core.methods.cross_entropy import CrossEntropyTerm, build, cross_entropy

LOGITS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 0, 0, 1, 1, 2])


def shape(counts: tuple[int, ...] | None = None) -> Shape:
    return Shape(3, 5, 1, 6, counts)


def built(config: CrossEntropyConfig, counts: tuple[int, ...] | None = None) -> CrossEntropyTerm:
    term = build(config, shape(counts))
    assert term is not None
    return term


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_smoothing_gives_the_rest_to_the_wrong_classes_only(smoothing: float) -> None:
    one_hot = F.one_hot(TARGET, 3)
    labels = one_hot * (1 - smoothing) + (1 - one_hot) * smoothing / 2
    expected = -(labels * LOGITS.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(cross_entropy(LOGITS, TARGET, label_smoothing=smoothing), expected)


def test_class_weights_weigh_images() -> None:
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(
        cross_entropy(LOGITS, TARGET, class_weights=weights),
        F.cross_entropy(LOGITS, TARGET, weight=weights),
    )


def test_balanced_weights_make_classes_count_alike() -> None:
    term = built(CrossEntropyConfig(class_weights="balanced"), (3, 2, 1))
    assert term.class_weights is not None
    torch.testing.assert_close(term.class_weights, torch.tensor([6 / 9, 6 / 6, 6 / 3]))
    losses = F.cross_entropy(LOGITS, TARGET, reduction="none")
    per_class = torch.stack([losses[:3].mean(), losses[3:5].mean(), losses[5]])
    torch.testing.assert_close(
        cross_entropy(LOGITS, TARGET, class_weights=term.class_weights.double()),
        per_class.mean(),
        rtol=1e-6,
        atol=0,
    )
    assert term.state_dict() == {}


def test_a_class_without_images_does_no_harm() -> None:
    term = built(CrossEntropyConfig(class_weights="balanced"), (3, 0, 1))
    assert term.class_weights is not None
    assert term.class_weights.isfinite().all()


def test_given_weights() -> None:
    term = built(CrossEntropyConfig(class_weights=(1.0, 2.0, 3.0)))
    assert term.class_weights is not None
    assert term.class_weights.tolist() == [1.0, 2.0, 3.0]


def test_by_default_there_are_no_class_weights() -> None:
    assert built(CrossEntropyConfig()).class_weights is None
    assert build(CrossEntropyConfig(weight=0.0), shape()) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CrossEntropyConfig(class_weights=(1.0, 2.0)), "class_weights has 2 values"),
        (CrossEntropyConfig(class_weights="balanced"), "were not counted"),
        (CrossEntropyConfig(label_smoothing=0.7), "label_smoothing is 0.7: with 3 classes"),
    ],
)
def test_what_does_not_fit_the_classes_is_refused(
    config: CrossEntropyConfig, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(config, shape())


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"weight is -1.*label_smoothing is 1.*class_weights is"):
        CrossEntropyConfig(weight=-1.0, label_smoothing=1.0, class_weights=(1.0, 0.0))
    with pytest.raises(ConfigError, match="class_weights is even"):
        CrossEntropyConfig(class_weights="even")  # type: ignore[arg-type]
