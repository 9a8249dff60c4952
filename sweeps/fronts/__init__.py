"""Pareto fronts: ranks, hypervolume, knee, selection, importances, export."""
