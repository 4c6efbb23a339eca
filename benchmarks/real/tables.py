"""The report as Markdown, between two marks of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from real.rows import ROWS
from real.titles import title_of_file, title_of_way

BEGIN, END = "<!-- tables: real_model.py --page -->", "<!-- end of tables -->"
BASELINES = {"longest": "longest option", "passage": "most like the passage (BM25)", "random": "chance"}
SETS = {
    "arc_easy": "ARC-Easy",
    "qasc": "QASC",
    "qasc_dev": "QASC, validation questions",
    "kaggle": "Kaggle",
    "kaggle_passages": "Kaggle, with passages",
    "openbookqa": "OpenBookQA",
    "mmlu_stem": "MMLU, STEM",
    "scienceqa": "ScienceQA",
    "dream": "DREAM",
    "exam": "exam of this project",
    "rates": "Kaggle, questions of no other row",
}


def page(text: str, result: Mapping[str, Any]) -> str:
    """A page with the tables of a result.

    Raises:
        ValueError: it has no marks.
    """
    return between(text, BEGIN, END, tables(result))


def between(text: str, begin: str, end: str, lines: str) -> str:
    """A page with other lines between two marks.

    Raises:
        ValueError: it has no marks.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the page has no line {begin} with a line {end} behind it")
    return f"{before}{begin}\n\n{lines}\n{end}{after}"


def tables(result: Mapping[str, Any]) -> str:
    """All rows and sets; a row that was not run stands with its command."""
    return "\n".join(line for row in ROWS for line in _row(row, result["rows"].get(row, {})))


def _row(row: str, sets: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {ROWS[row].title}"
    yield ""
    if not sets:
        yield f"Not run: `python benchmarks/real_model.py --data DATA --rows {row}`"
        yield ""
    for name, of_set in sets.items():
        yield from _set(row, name, of_set)


def _set(row: str, name: str, of_set: Mapping[str, Any]) -> Iterator[str]:
    several = len(of_set["files"]) > 1
    passages = "| passages " if several else ""
    counts = "; ".join(dict.fromkeys(f"{each['questions']:,} questions" for each in of_set["files"].values()))
    commits = list(dict.fromkeys(commit for way in of_set["ways"].values() for commit in way["commits"]))
    yield f"**{SETS[name]}** ({counts}; commit {', '.join(commits)})"
    yield ""
    yield f"| way {passages}| MAP@3 | accuracy | seeds |"
    yield f"| --- {'| --- ' if several else ''}| --- | --- | --- |"
    for each in of_set["scores"]:
        cell = f"| {title_of_file(each['file'])} " if several else ""
        yield (
            f"| {title_of_way(each['way'], row)} {cell}| {_mean(each['map@3'])} | {_mean(each['accuracy'])} "
            f"| {len(each['seeds'])} |"
        )
    for file, baselines in of_set["files"].items():
        cell = f"| {title_of_file(file)} " if several else ""
        for key, title in BASELINES.items():
            if f"{key}_map@3" in baselines:
                scores = f"{baseline_cell(baselines, key)} | {baselines[f'{key}_accuracy']:.3f}"
                yield f"| *{title}* {cell}| {scores} | |"
    yield ""
    if of_set["differences"]:
        yield "| first | second | MAP@3, first minus second | accuracy | p | Holm |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for each in of_set["differences"]:
            yield (
                f"| {_cell(each['first'], row, several)} | {_cell(each['second'], row, several)} "
                f"| {difference_cell(each['map@3'])} | {difference_cell(each['accuracy'])} "
                f"| {each['map@3']['p']:.4f} | {each['map@3']['holm']:.4f} |"
            )
        yield ""


def _cell(cell: list[str], row: str, several: bool) -> str:
    title = title_of_way(cell[0], row)
    return f"{title}: {title_of_file(cell[1])}" if several else title


def _mean(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:.3f} [{low:.3f}, {high:.3f}]"


def baseline_cell(baselines: Mapping[str, float], key: str) -> str:
    """MAP@3 of a baseline with its interval; chance is an expected value, without one."""
    score = f"{baselines[f'{key}_map@3']:.3f}"
    if f"{key}_map@3_low" not in baselines:
        return score
    return f"{score} [{baselines[f'{key}_map@3_low']:.3f}, {baselines[f'{key}_map@3_high']:.3f}]"


def difference_cell(figure: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    low, high = figure["interval"]
    return f"{figure['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
