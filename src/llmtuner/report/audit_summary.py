"""An audit for the terminal: the figures of each file, the first of everything that was found, and the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.quality import DEDUCTIONS
from llmtuner.data.audit.repeats import Leak, Repeats
from llmtuner.data.audit.result import Audit, FileAudit
from llmtuner.data.audit.rows import Row
from llmtuner.data.problems import line_list, shown
from llmtuner.data.question import LETTERS

LISTED = 10  # of each list; the page shows more, and --json everything
PLACES = 6  # rows of a group


def summary(audit: Audit) -> list[str]:
    """The lines of the summary."""
    lines: list[str] = []
    for file in audit.files:
        lines += [*_file(file), ""]
    lines += _repeats(audit.repeats)
    if audit.label_errors is not None:
        lines += ["", *_label_errors(audit)]
    lines += ["", "checks (names for --fail_on)"]
    for name, (meaning, _) in CHECKS.items():
        hits = audit.checks[name]
        lines.append(f"  {name:15}{'not done' if hits is None else f'{hits:,}':>9}  {meaning}")
    return lines + [f"note: {note}" for note in audit.notes]


def positions_line(positions: Positions) -> str:
    """How often each place holds the answer: "A 12, B 9 (p = 0.512)"."""
    numbers = ", ".join(f"{letter} {number:,}" for letter, number in zip(LETTERS, positions.right, strict=False))
    return f"{numbers} (p = {positions.p_value:.3g}{', unbalanced' if positions.unbalanced else ''})"


def options_line(options: dict[int, int]) -> str:
    """Questions by their number of options: "5 options: 6,000"."""
    return ", ".join(f"{count} options: {number:,}" for count, number in options.items()) or "no questions"


def _file(file: FileAudit) -> list[str]:
    found, form = file.counts, file.form
    context = f", {found.with_context:,} with a context" if found.with_context else ""
    lines = [
        f"{file.file} ({file.columns_form})",
        f"  {counted(found.questions, 'question')} with {counted(found.texts, 'different text')}, "
        f"{found.answered:,} answered{context}",
        f"  {options_line(found.options)}",
    ]
    lines += [f"  answer at {positions_line(found)}" for found in file.positions]
    words = [f"{name} {spread.mean:.1f}" for name, spread in file.lengths.words.items()]
    if words:
        lines.append(f"  words on average: {', '.join(words)}")
    lines += _shortcuts(file)
    if found.questions:
        lines.append(f"  form: {form.clean:,} clean, {form.damaged:,} damaged, mean score {form.mean:.3f}")
    lines += [
        f"    {-DEDUCTIONS[name][0]:.1f} {name}: {line_list(places, file.unit)}"
        for name, places in form.reasons.items()
    ]
    if found.unreadable:
        lines.append(f"  rows that cannot be read: {found.unreadable:,}")
    if found.unread:
        lines.append(f"  {counted(found.unread, 'line')} behind an error not read")
    for name, problems in (("errors", file.errors), ("warnings", file.warnings)):
        lines += _listed(f"  {name}: {len(problems):,}", (f"    {problem}" for problem in problems), len(problems))
    return lines


def _shortcuts(file: FileAudit) -> list[str]:
    scores = file.scores
    if not scores:
        return []
    lines = [f"  without knowing anything{'MAP@3':>17}{'accuracy':>10}{'where it applies':>23}"]
    for score in scores:
        where = f"{score.map_at_3_where:.3f} on {score.applies:,}" if score.map_at_3_where is not None else "never"
        mark = "  <- well above chance" if score.worth_a_warning else ""
        lines.append(f"    {score.name:32}{score.map_at_3:>7.3f}{score.accuracy:>10.3f}{where:>23}{mark}")
    return [*lines, f"    {'chance':32}{scores[0].chance:>7.3f}"]


def _repeats(repeats: Repeats) -> list[str]:
    lines: list[str] = []
    for leak in repeats.leaks:
        lines.append(leak_line(leak))
    for meaning, groups in repeat_lists(repeats):
        first = (f"  {_places(group)}: {shown(group[0].question)}" for group in groups)
        lines += _listed(f"{meaning}: {len(groups):,} group{'s' * (len(groups) != 1)}", first, len(groups))
    return lines


def _places(group: Sequence[Row]) -> str:
    """Where rows stand, each file named once: "a.csv:3, 9; b.csv:7 and 2 more"."""
    lines: dict[str, list[int]] = {}
    for row in group[:PLACES]:
        lines.setdefault(row.file, []).append(row.line)
    places = "; ".join(f"{file}:{', '.join(map(str, numbers))}" for file, numbers in lines.items())
    return places + (f" and {len(group) - PLACES:,} more" if len(group) > PLACES else "")


def counted(number: int, unit: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def leak_line(leak: Leak) -> str:
    """What two files share, in a sentence."""
    if not leak.texts and not leak.near:
        return f"{leak.first} and {leak.second} share no question"
    near = f"; nearly a row of the first: {counted(leak.near, 'more row')} of the second" if leak.near else ""
    return (
        f"in both {leak.first} ({counted(leak.first_texts, 'text')}) and {leak.second} "
        f"({counted(leak.second_texts, 'text')}): {counted(leak.texts, 'question text')}, {leak.questions:,} of them "
        f"with the same options; they stand in {leak.first_rows:,} and {counted(leak.second_rows, 'row')}{near}"
    )


def repeat_lists(repeats: Repeats) -> list[tuple[str, Sequence[Sequence[Row]]]]:
    """The groups of rows with what they have in common; near duplicates only where they were looked for."""
    lists: list[tuple[str, Sequence[Sequence[Row]]]] = [
        ("the same question, answered in different ways", repeats.conflicts),
        ("the same question", repeats.same_question),
        ("the same question text", repeats.same_text),
    ]
    return lists + ([] if repeats.near is None else [("nearly the same question", repeats.near)])


def _label_errors(audit: Audit) -> list[str]:
    found = audit.label_errors
    if found is None or found.accuracy is None:
        return ["likely label errors: not looked for, for want of predictions of answered questions"]
    head = (
        f"likely label errors: {len(found.suspects):,} of {found.looked_at:,} predicted questions, by a model that is "
        f"right on {found.accuracy:.1%}"
    )
    first = (
        f"  {its.row.where}: {its.row.answer} has {its.given_probability:.3f}, {its.likely} has "
        f"{its.likely_probability:.3f}: {shown(its.row.question)}"
        for its in found.suspects
    )
    return _listed(head, first, len(found.suspects))


def _listed(head: str, lines: Iterable[str], total: int) -> list[str]:
    shown_lines = [line for line, _ in zip(lines, range(LISTED), strict=False)]
    more = [f"    and {total - len(shown_lines):,} more"] if total > len(shown_lines) else []
    return [head, *shown_lines, *more]
