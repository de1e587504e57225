"""What only a GPU can do wrong: it runs out of memory, or meets a device-side assert that makes its process useless."""

import time

import pytest
import torch

from benchmarks.on_gpu import Setting, worker_faults


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device; benchmarks/on_gpu.sh does the same on a machine that has one"
)
def test_a_run_that_breaks_the_gpu_ends_alone_and_the_next_one_trains() -> None:
    found = worker_faults(Setting(torch.device("cuda"), tiny=True, ends=time.monotonic() + 400, data=None))
    assert found["as promised"], found
    assert "too little memory" in found["memory"]["reason"] and "a smaller training.batch_size" in found["memory"]["reason"]
    assert "device-side assert" in found["assert"]["reason"] and "CUDA_LAUNCH_BLOCKING=1" in found["assert"]["reason"]
