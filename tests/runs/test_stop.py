"""SIGTERM: at once outside a training, after the step within one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support import ROOT

from llmtuner.runs.stop import StopRequest, Terminated, WorkerStart


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


@pytest.mark.subprocess
@pytest.mark.parametrize("how", ["ends", "fails"])
def test_workers_that_are_left_do_not_hold_up_the_exit(how):
    """They ignored the one SIGTERM that multiprocessing sends, and the run hung at its end for ten minutes."""
    code = "from torch.utils.data import DataLoader; from llmtuner.runs.stop import WorkerStart\n"
    code += f"loader = DataLoader(range(9), num_workers=2, persistent_workers={how == 'ends'}, "
    code += "worker_init_fn=WorkerStart())\n"
    code += "batches = iter(loader); next(batches)\n"
    code += "print(len(list(batches)))\n" if how == "ends" else "raise ValueError('NaN')\n"
    script = [sys.executable, "-c", code]
    ended = subprocess.run(script, cwd=ROOT / "src", capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout) == ((0, "8\n") if how == "ends" else (1, ""))
    assert ended.stderr.strip().splitlines()[-1:] == ([] if how == "ends" else ["ValueError: NaN"])


def test_a_training_in_a_process_of_multiprocessing_ends_its_workers():
    """`atexit` does not run there. A worker stands in for those of a loader."""
    context = multiprocessing.get_context("fork")
    trains = context.Process(target=_leave_a_worker)
    trains.start()
    trains.join(60)
    trains.kill()
    assert trains.exitcode == 0


def _leave_a_worker():
    context, start = multiprocessing.get_context("fork"), WorkerStart()
    ready = context.Event()
    context.Process(target=lambda: (start(0), ready.set(), time.sleep(90)), daemon=True).start()
    ready.wait()
    _LEFT.append(start)


_LEFT = []  # as a trainer holds it
