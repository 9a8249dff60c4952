"""Downloading data sets: resumable, verified, and nothing half-written under a final name."""

from hsplid_core.data.fetching.addresses import RECIPES, Item, Recipe
from hsplid_core.data.fetching.download import Patience, Remote
from hsplid_core.data.fetching.fetch_data_set import Progress, Step, fetch

__all__ = ["RECIPES", "Item", "Patience", "Progress", "Recipe", "Remote", "Step", "fetch"]
