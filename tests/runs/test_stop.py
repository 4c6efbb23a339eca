"""SIGTERM: at once outside a training, after the step within one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest
from support import ROOT

from llmtuner.runs.stop import StopRequest, Terminated


def term():
    os.kill(os.getpid(), signal.SIGTERM)


def test_outside_a_training_it_ends_the_run_at_once():
    with pytest.raises(Terminated), StopRequest().listening():
        term()


def test_in_a_training_it_is_a_request_and_the_second_one_an_order():
    stop = StopRequest()
    stop.deferred = True
    with stop.listening():
        term()
        assert stop.requested
        with pytest.raises(Terminated):
            term()


def test_a_signal_that_python_swallows_is_still_a_request():
    """Raised while an object was finalised, it was ignored, and the training went on to its end with exit 0."""
    stop = StopRequest()
    with stop.listening(), contextlib.suppress(Terminated):
        term()
    assert stop.requested


def test_the_handler_before_is_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_in_another_thread_works_without_it():
    def listen():
        with StopRequest().listening():
            entered.append(True)

    entered = []
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert entered


def test_no_library_can_swallow_it():
    """An `except Exception` around a batch would train on."""
    assert not issubclass(Terminated, Exception)


@pytest.mark.subprocess
def test_a_worker_that_loads_data_outlives_the_runs_sigterm():
    """`timeout` and schedulers signal it, too: its end was an error of the run, and no checkpoint was saved."""
    code = "import os, signal; from llmtuner.runs.stop import WorkerStart\n"
    code += "WorkerStart(print)(7); os.kill(os.getpid(), signal.SIGTERM); print('goes on', flush=True)\n"
    code += "os.kill(os.getpid(), signal.SIGTERM); print('never')"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, ["7", "goes", "on"])
