"""Reproduction of papers' claims: rows of data, the sweeps behind them, numbers and verdicts."""
