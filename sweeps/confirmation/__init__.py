"""Confirming a front under new seeds on the test split, against the winner's curse."""
