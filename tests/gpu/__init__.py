"""Tests of what a GPU does otherwise, on the device and, with the same code, on the CPU.

    python -m pytest tests/gpu -m gpu

They need PyTorch 2.11, torchvision 0.26, pyarrow, filelock, contourpy, joblib, requests and pytest
with pytest-timeout; no Ray, Optuna, MLflow, pycocotools or captum. Without ``-m gpu`` they run on
the CPU, too.
"""
