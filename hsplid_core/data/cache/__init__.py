"""The cache of decoded images: one memory-mapped Arrow file a split, built once."""
