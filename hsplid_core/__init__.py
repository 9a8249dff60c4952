"""Losses, models, attacks and data of the saliency papers, in plain PyTorch.

Nothing here knows about Ray, Optuna or MLflow: the package runs by itself.
"""
