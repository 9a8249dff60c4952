"""Downloading data sets: resumable, verified, and nothing half-written under a final name."""

from hsplid_core.data.fetching.catalogue import RECIPES, Item, Recipe
from hsplid_core.data.fetching.fetcher import Progress, Step, fetch
from hsplid_core.data.fetching.transfer import Patience, Remote

__all__ = ["RECIPES", "Item", "Patience", "Progress", "Recipe", "Remote", "Step", "fetch"]
