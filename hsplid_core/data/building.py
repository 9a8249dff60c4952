"""What decodes a data set into its cache; see `build_or_open`."""

from hsplid_core.data._decoding import Workers, n_cores

__all__ = ["Workers", "n_cores"]
