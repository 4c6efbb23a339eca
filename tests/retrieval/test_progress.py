"""Lines about the progress."""

from __future__ import annotations

from llmtuner.retrieval.progress import Progress, duration


def test_rate_and_time_left():
    now, lines = [0.0], []
    progress = Progress(lines.append, "encoding", total=10_000, clock=lambda: now[0])
    for now[0], count in ((1.0, 100), (6.0, 1100), (7.0, 10), (20.0, 790)):
        progress(count)
    assert lines == [
        "encoding: 1,200 of 10,000 chunks, 200 a second, 44 s left",
        "encoding: 2,000 of 10,000 chunks, 100 a second, 80 s left",
    ]
    unknown = Progress(lines.append, "reading", clock=lambda: now[0])
    now[0] += 10
    unknown(5)
    assert lines[-1] == "reading: 5 chunks, 0 a second"
    by_bytes = Progress(lines.append, "reading", share=lambda: 0.25, clock=lambda: now[0])
    now[0] += 10
    by_bytes(50)
    assert lines[-1] == "reading: 50 chunks, 5 a second, 30 s left"


def test_durations():
    assert [duration(seconds) for seconds in (0.2, 99, 600, 36_000)] == ["0 s", "99 s", "10 min", "10.0 h"]
