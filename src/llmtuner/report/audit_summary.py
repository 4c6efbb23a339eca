"""An audit for the terminal: the numbers of each file, the first entries of each list, and the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.label_errors import LabelErrors
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.quality import DEDUCTIONS
from llmtuner.data.audit.repeats import Leak, Repeats
from llmtuner.data.audit.result import Audit, FileAudit
from llmtuner.data.audit.rows import AuditRow
from llmtuner.data.audit.shortcuts import ShortcutScore
from llmtuner.data.problems import line_list, quoted
from llmtuner.data.question import LETTERS

LISTED = 10  # entries of each list; the page shows more, and --json everything
MAX_LOCATIONS = 6  # rows of a group


def summary(audit: Audit) -> list[str]:
    """The lines of the summary."""
    lines: list[str] = []
    for file in audit.files:
        lines += [*_file_lines(file), ""]
    lines += _repeat_lines(audit.repeats)
    if audit.label_errors is not None:
        lines += ["", *_label_error_lines(audit.label_errors)]
    lines += ["", "checks (names for --fail_on)"]
    for name, (meaning, _) in CHECKS.items():
        hits = audit.checks[name]
        lines.append(f"  {name:15}{'skipped' if hits is None else f'{hits:,}':>9}  {meaning}")
    return lines + [f"note: {note}" for note in audit.notes]


def positions_line(positions: Positions) -> str:
    """Numbers of answers at each position: "A 12, B 9 (p = 0.512)"."""
    numbers = ", ".join(f"{letter} {number:,}" for letter, number in zip(LETTERS, positions.right, strict=False))
    return f"{numbers} (p = {positions.p_value:.3g}{', unbalanced' if positions.unbalanced else ''})"


def options_line(options: dict[int, int]) -> str:
    """Numbers of questions by their number of options: "5 options: 6,000"."""
    return ", ".join(f"{count} options: {number:,}" for count, number in options.items()) or "no questions"


def _file_lines(file: FileAudit) -> list[str]:
    counts, form = file.counts, file.form
    context = f", {counts.with_context:,} with a context" if counts.with_context else ""
    lines = [
        f"{file.file} ({file.columns_form})",
        f"  {counted(counts.questions, 'question')} with {counted(counts.texts, 'different text')}, "
        f"{counts.answered:,} answered{context}",
        f"  {options_line(counts.options)}",
    ]
    lines += [f"  answer at {positions_line(positions)}" for positions in file.positions]
    words = [f"{name} {spread.mean:.1f}" for name, spread in file.lengths.words.items()]
    if words:
        lines.append(f"  words on average: {', '.join(words)}")
    lines += _shortcut_lines(file.scores)
    if counts.questions:
        lines.append(f"  form: {form.clean:,} clean, {form.damaged:,} damaged, mean score {form.mean:.3f}")
    lines += [
        f"    {-DEDUCTIONS[name][0]:.1f} {name}: {line_list(affected_lines, file.unit)}"
        for name, affected_lines in form.reasons.items()
    ]
    if counts.unreadable:
        lines.append(f"  unreadable rows: {counts.unreadable:,}")
    if counts.unread:
        lines.append(f"  {counted(counts.unread, 'line')} after an error not read")
    for name, problems in (("errors", file.errors), ("warnings", file.warnings)):
        lines += _listed(f"  {name}: {len(problems):,}", (f"    {problem}" for problem in problems), len(problems))
    return lines


def _shortcut_lines(scores: Sequence[ShortcutScore]) -> list[str]:
    if not scores:
        return []
    lines = [f"  {'baselines (no language model)':34}{'MAP@3':>7}{'accuracy':>10}{'where it applies':>23}"]
    for score in scores:
        affected = f"{score.map_at_3_where:.3f} on {score.applies:,}" if score.map_at_3_where is not None else "never"
        mark = "  <- well above chance" if score.worth_a_warning else ""
        lines.append(f"    {score.name:32}{score.map_at_3:>7.3f}{score.accuracy:>10.3f}{affected:>23}{mark}")
    return [*lines, f"    {'chance':32}{scores[0].chance:>7.3f}"]


def _repeat_lines(repeats: Repeats) -> list[str]:
    lines = [leak_line(leak) for leak in repeats.leaks]
    for meaning, groups in repeat_lists(repeats):
        first = (f"  {_locations(group)}: {quoted(group[0].question)}" for group in groups)
        lines += _listed(f"{meaning}: {len(groups):,} group{'s' * (len(groups) != 1)}", first, len(groups))
    return lines


def _locations(group: Sequence[AuditRow]) -> str:
    """The places of rows, with each file named once: "a.csv:3, 9; b.csv:7 and 2 more"."""
    lines_by_file: dict[str, list[int]] = {}
    for row in group[:MAX_LOCATIONS]:
        lines_by_file.setdefault(row.file, []).append(row.line)
    locations = "; ".join(f"{file}:{', '.join(map(str, lines))}" for file, lines in lines_by_file.items())
    return locations + (f" and {len(group) - MAX_LOCATIONS:,} more" if len(group) > MAX_LOCATIONS else "")


def counted(number: int, unit: str) -> str:
    """A number with its unit: "1 row", "2 rows"."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def leak_line(leak: Leak) -> str:
    """The questions that two files share, in a sentence."""
    if not leak.texts and not leak.near:
        return f"{leak.first} and {leak.second} share no question"
    near = f"; {counted(leak.near, 'further row')} of the second are near duplicates" if leak.near else ""
    return (
        f"in both {leak.first} ({counted(leak.first_texts, 'text')}) and {leak.second} "
        f"({counted(leak.second_texts, 'text')}): {counted(leak.texts, 'question text')}, {leak.questions:,} of them "
        f"with the same options; they are in {leak.first_rows:,} and {counted(leak.second_rows, 'row')}{near}"
    )


def repeat_lists(repeats: Repeats) -> list[tuple[str, Sequence[Sequence[AuditRow]]]]:
    """The lists of repeated rows, each with its meaning. Near duplicates are included unless they were skipped."""
    lists: list[tuple[str, Sequence[Sequence[AuditRow]]]] = [
        ("the same question with different answers", repeats.conflicts),
        ("the same question", repeats.same_question),
        ("the same question text", repeats.same_text),
    ]
    return lists + ([] if repeats.near is None else [("near duplicates", repeats.near)])


def _label_error_lines(errors: LabelErrors) -> list[str]:
    if errors.accuracy is None:
        return ["likely label errors: skipped, no answered question has a usable prediction"]
    head = (
        f"likely label errors: {len(errors.suspects):,} of {errors.looked_at:,} predicted questions, by a model with "
        f"an accuracy of {errors.accuracy:.1%}"
    )
    first = (
        f"  {suspect.row.where}: {suspect.row.answer} has {suspect.given_probability:.3f}, {suspect.likely} has "
        f"{suspect.likely_probability:.3f}: {quoted(suspect.row.question)}"
        for suspect in errors.suspects
    )
    return _listed(head, first, len(errors.suspects))


def _listed(head: str, lines: Iterable[str], total: int) -> list[str]:
    listed = list(islice(lines, LISTED))
    more = [f"    and {total - len(listed):,} more"] if total > len(listed) else []
    return [head, *listed, *more]
