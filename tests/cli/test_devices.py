"""bf16 works without an accelerator, and is suggested where the CPU has kernels for it."""

from __future__ import annotations

import pytest
import torch

from llmtuner.cli import devices
from llmtuner.cli.devices import on_this_machine
from llmtuner.cli.flags import Flags
from llmtuner.cli.words import Words


def flags(*names, **values) -> Flags:
    return Flags.of(Words({**dict.fromkeys(names, ()), **{name: (value,) for name, value in values.items()}}))


@pytest.fixture
def machine(monkeypatch):
    def make(*, accelerator: bool, bf16: bool):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
        monkeypatch.setattr(devices, "has_bf16_kernels", lambda: bf16)

    return make


@pytest.mark.parametrize("name", ["bf16", "pure_bf16", "bf16_full_eval"])
def test_bf16_needs_no_further_flag_on_a_cpu(machine, name):
    """The run stopped with "You need to assign use_cpu"."""
    machine(accelerator=False, bf16=False)
    changed, lines = on_this_machine(flags("do_train", name))
    assert changed["use_cpu"] is True
    assert len(lines) == 1
    assert on_this_machine(flags("do_train", "use_cpu", name))[1] == ()
    assert "use_cpu" not in on_this_machine(flags("do_train", **{name: "false"}))[0]


def test_an_accelerator_is_used_as_before(machine):
    machine(accelerator=True, bf16=True)
    for given in (flags("do_train", "bf16"), flags("do_train")):
        assert on_this_machine(given) == (given, ())


def test_bf16_is_suggested_for_a_training_on_a_cpu_that_has_it(machine):
    machine(accelerator=False, bf16=True)
    assert "add --bf16" in on_this_machine(flags("do_train"))[1][0]
    assert on_this_machine(flags("do_predict"))[1] == ()
    assert on_this_machine(flags("do_train", "fp16"))[1] == ()
    machine(accelerator=False, bf16=False)
    assert on_this_machine(flags("do_train"))[1] == ()
