"""The report on questions that exceed the limit."""

from __future__ import annotations

from llmtuner.data.tokens.fit import FitReport, Length


def lengths(cuts=(), overs=()):
    rows = [Length(i, f"exam.csv:{i + 2}", str(i), cut, 0) for i, cut in enumerate(cuts)]
    return rows + [Length(90 + i, f"exam.csv:{92 + i}", str(90 + i), 0, over) for i, over in enumerate(overs)]


def test_no_line_is_reported_if_everything_fits():
    report = FitReport(lengths([0, 0]), 100)
    assert report.lines(training=True) == report.lines(training=False) == []


def test_cut_contexts_are_counted():
    [line] = FitReport(lengths([0, 5, 50, 7]), 100).lines(training=True)
    assert "3 of 4 questions" in line
    assert "by 7 tokens in the median and 50 at most" in line


def test_prediction_lists_what_is_scored_all_the_same():
    lines = FitReport(lengths([0], [3]), 100).lines(training=False)
    assert "still scored" in lines[0]
    assert lines[1].strip() == "exam.csv:92: id 90: 103 tokens"


def test_a_refusal_lists_at_most_twenty():
    refusal = FitReport(lengths([], range(1, 31)), 100).refusal()
    assert refusal.startswith("30 questions are longer than `cutoff_len` 100")
    assert refusal.count("exam.csv:") == 20
    assert refusal.endswith("and 10 more")
    assert "`drop_long`" in refusal
