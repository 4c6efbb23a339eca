"""An audit for the terminal: the figures of each file, the first of everything that was found, and the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmtuner.data.audit.checks import CHECKS
from llmtuner.data.audit.positions import Positions
from llmtuner.data.audit.quality import DEDUCTIONS
from llmtuner.data.audit.repeats import Leak, Repeats
from llmtuner.data.audit.rows import Row
from llmtuner.data.audit.run import Audit, FileAudit
from llmtuner.data.audit.shortcuts import ShortcutScore
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


def score_rows(file: FileAudit) -> list[ShortcutScore]:
    """Every shortcut of a file, the model's score last."""
    return [*file.shortcuts, *([file.model.score] if file.model else [])]


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
        f"  {found.questions:,} questions with {found.texts:,} different texts, {found.answered:,} answered{context}",
        f"  {options_line(found.options)}",
    ]
    lines += [f"  answer at {positions_line(found)}" for found in file.positions]
    words = [f"{name} {spread.mean:.1f}" for name, spread in file.lengths.words.items()]
    if words:
        lines.append(f"  words on average: {', '.join(words)}")
    lines += _shortcuts(file)
    if found.questions:
        lines.append(f"  form: {form.clean:,} clean, {form.damaged:,} damaged, mean score {form.mean:.3f}")
    lines += [f"    {-DEDUCTIONS[name][0]:.1f} {name}: {line_list(places)}" for name, places in form.reasons.items()]
    if found.unreadable:
        lines.append(f"  rows that cannot be read: {found.unreadable:,}")
    for name, problems in (("errors", file.errors), ("warnings", file.warnings)):
        lines += _listed(f"  {name}: {len(problems):,}", (f"    {problem}" for problem in problems), len(problems))
    return lines


def _shortcuts(file: FileAudit) -> list[str]:
    scores = score_rows(file)
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
        if groups is None:
            continue
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


def leak_line(leak: Leak) -> str:
    """What two files share, in a sentence."""
    if not leak.texts and not leak.near:
        return f"{leak.first} and {leak.second} share no question"
    near = f"; {leak.near:,} more rows of the second are nearly a row of the first" if leak.near else ""
    return (
        f"{leak.texts:,} question texts are in {leak.first} ({leak.first_texts:,} texts) and {leak.second} "
        f"({leak.second_texts:,} texts), {leak.questions:,} of them with the same options; they stand in "
        f"{leak.first_rows:,} and {leak.second_rows:,} rows{near}"
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
        return ["likely label errors: no prediction of an answered question"]
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
