from __future__ import annotations

from unittest import mock

import pytest
import torch

from trainables.gpu_memory import is_out_of_memory, limit_memory


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
        (MemoryError("out of memory"), False),
    ],
)
def test_memory_runs_out_under_several_names(error: Exception, is_it: bool) -> None:
    assert is_out_of_memory(error) == is_it


@pytest.mark.parametrize(("share", "fraction"), [(None, 1.0), (0.5, 0.475), (0.02, 0.01)])
def test_a_share_leaves_room_for_the_processs_own_context(
    share: float | None, fraction: float
) -> None:
    with (
        mock.patch("trainables.gpu_memory.gpu_memory_mib", return_value=24_000.0),
        mock.patch("torch.cuda.set_per_process_memory_fraction") as limit,
    ):
        limit_memory(share)
    limit.assert_called_once_with(pytest.approx(fraction))
