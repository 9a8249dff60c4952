"""GPU memory: running out of it, sharing it, and starting a trial with all of it free."""

from __future__ import annotations

import gc

import torch

# What the driver, cuBLAS and cuDNN say where the allocator itself would raise
# torch.OutOfMemoryError.
_LIBRARY_MESSAGES = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC",
)

# What a process needs of a GPU besides what torch allocates: the context, cuDNN and cuBLAS.
CONTEXT_MIB = 600.0

# Part of a trial's share that data may take: training needs the rest.
_MOST_FOR_DATA = 0.25


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that the GPU's memory was not enough."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(m in str(error) for m in _LIBRARY_MESSAGES)


def free_memory() -> None:
    """Give back what nothing refers to any more, and count the peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def limit_memory(share: float | None) -> None:
    """Keep this process from taking its neighbours' memory.

    Args:
        share: This process's part of the GPU's memory, its CUDA context included, in (0, 1];
            None sets no limit.
    """
    total = gpu_memory_mib()
    if total is not None:
        fraction = 1.0 if share is None else max(0.01, share - CONTEXT_MIB / total)
        torch.cuda.set_per_process_memory_fraction(fraction)


def fits_beside_training(n_bytes: int, device: torch.device) -> bool:
    """Tell whether data may stay on a device while a trial trains there; never on the CPU.

    Args:
        n_bytes: Size of the data.
        device: Where the trial runs; its share is what :func:`limit_memory` has left to it.
    """
    if device.type != "cuda":
        return False
    share = torch.cuda.get_per_process_memory_fraction(device)
    total = torch.cuda.get_device_properties(device).total_memory
    return n_bytes <= _MOST_FOR_DATA * share * total


def gpu_memory_mib() -> float | None:
    """Return all memory of this process's GPU in MiB; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(0).total_memory) / 2**20
