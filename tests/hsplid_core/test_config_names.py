"""The names that a spec is checked against are those of what they stand for."""

from __future__ import annotations

from importlib import import_module

from hsplid_core.attacks.regions import REGIONS
from hsplid_core.config import ModelConfig, methods, names
from hsplid_core.data import DATA_SETS
from hsplid_core.models import MODELS
from hsplid_core.models.names import published_names
from hsplid_core.saliency import ATTRIBUTIONS, SCORES


def test_tables_of_names_and_of_what_they_stand_for_agree() -> None:
    assert tuple(REGIONS) == names.REGIONS
    assert tuple(ATTRIBUTIONS) == names.ATTRIBUTIONS
    assert tuple(SCORES) == names.SCORES
    assert tuple(DATA_SETS) == names.DATA_SETS
    untrained = [name for name, entry in DATA_SETS.items() if entry.training is None]
    assert tuple(untrained) == names.TEST_SETS
    for name in methods.METHODS:
        assert callable(import_module(f"hsplid_core.methods.{name}").build)
    assert set(names.METHOD_METRICS) == set(methods.METHODS)


def test_networks_and_their_weights_are_torchvisions() -> None:
    assert set(names.NETWORKS) <= set(MODELS)
    for name, weights in names.NETWORKS.items():
        assert weights == tuple(published_names(ModelConfig(name=name)))
