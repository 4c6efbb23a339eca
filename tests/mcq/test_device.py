"""What a scorer cannot be loaded with is the user's to change, and named."""

from __future__ import annotations

import pytest
import torch

from llmtuner.errors import UserError
from llmtuner.mcq.device import check_device, check_dtype


@pytest.mark.parametrize("device", ["nosuch", "cuda:77"])
def test_a_device_that_torch_cannot_use_is_named(device):
    """`load_scorer(device="cuda")` without a GPU ended in an AssertionError of torch, after the model was loaded."""
    with pytest.raises(UserError, match=f"--device {device}: torch cannot use it"):
        check_device(device, "--device")
    check_device("cpu")


@pytest.mark.parametrize("dtype", ["bananas", "int8", "nn", torch.long])
def test_what_is_no_type_of_weights_is_refused(dtype):
    """It ended in an AttributeError of torch."""
    with pytest.raises(UserError, match='expected "auto"'):
        check_dtype(dtype)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", torch.float32])
def test_types_of_weights_pass(dtype):
    check_dtype(dtype)
