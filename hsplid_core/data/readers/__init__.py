"""Readers of data sets, one file a data set, each in the layout that its authors publish."""
