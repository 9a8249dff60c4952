"""Data sets in their own layouts, read once into one memory-mapped cache."""

from hsplid_core.data.batch import Batch
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.data_sets import DATA_SETS, DataSet, Split, load, prepare
from hsplid_core.data.source import Sample, Skipped, Source
from hsplid_core.data.splits import stratified_split

__all__ = [
    "DATA_SETS",
    "Batch",
    "DataSet",
    "ImageSet",
    "Sample",
    "Skipped",
    "Source",
    "Split",
    "build_or_open",
    "load",
    "prepare",
    "stratified_split",
]
