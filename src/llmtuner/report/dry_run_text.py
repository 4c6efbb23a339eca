"""A dry run as text for the terminal: lines of pieces with styles, coloured by rich where that is possible.

Every style also stands in the text as a word or a mark, so that nothing is lost without colours.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from llmtuner.data.problems import escaped
from llmtuner.report.dry_run import FITS, TOO_LARGE, DataFile, DryRun, Lengths, Measured, Memory, Prompt, Speed, Token

Piece = tuple[str, str]  # text, style
Line = list[Piece]
WIDTH = 110
SHOWN = 400  # characters of one piece of a prompt
_BAR = 30
STYLES = {
    "heading": "bold",
    "quiet": "dim",
    "good": "bold green",
    "bad": "bold red",
    "template": "dim",
    "example": "magenta",
    "context": "cyan",
    "question": "yellow",
    "option": "green",
    "letter": "blue",
    "scored": "bold reverse",
}
_LABEL = 20


def lines_of(dry: DryRun) -> Iterator[Line]:
    """The whole text."""
    yield [(f"Dry run: {dry.command}", "heading")]
    yield [("nothing is written", "quiet")]
    yield from _settings(dry)
    yield from _heading("Data")
    for part in dry.data:
        yield from _data(part)
    if not dry.data:
        yield [("  no files of questions", "")]
    for note in dry.notes:
        yield [(f"  note: {escaped(note)}", "quiet")]
    if dry.measured is not None:
        yield from _measured(dry.measured)
    yield []
    yield _verdict(dry)


def _heading(title: str) -> Iterator[Line]:
    yield []
    yield [(title, "heading")]


def _settings(dry: DryRun) -> Iterator[Line]:
    yield from _heading("Settings")
    width = max((len(each.name) for each in dry.settings), default=0)
    values = max((min(len(each.value), 40) for each in dry.settings), default=0)
    for each in dry.settings:
        yield [(f"  {each.name:{width}}  {escaped(each.value):{values}}  ", ""), (escaped(each.origin), "quiet")]


def _data(part: DataFile) -> Iterator[Line]:
    yield [(f"  {escaped(part.path)} ({part.use}): {part.rows:,} questions", "")]
    if part.rows:
        options = ", ".join(f"{count:,} with {name} options" for name, count in (part.options or {}).items())
        places = ", ".join(f"{name} {count:,}" for name, count in (part.places or {}).items())
        yield [(f"    {options}; {part.answered:,} with answer; {part.with_context:,} with context", "")]
        yield [(f"    answers: {places or 'none'}", "")]
    for kind, listed in (("error", part.errors), ("warning", part.warnings)):
        for line in listed[:5]:
            yield [(f"    {kind}: {escaped(line)}", "bad" if kind == "error" else "")]
        if len(listed) > 5:
            yield [(f"    and {len(listed) - 5:,} more {kind}s", "")]


def _measured(measured: Measured) -> Iterator[Line]:
    if measured.prompts:
        yield from _heading("Prompts")
        yield from _legend()
        for prompt in measured.prompts:
            yield from _prompt(prompt)
    if measured.lengths:
        yield from _heading("Length in tokens, before anything is cut")
        for lengths in measured.lengths:
            yield from _lengths(lengths)
    if measured.steps is not None:
        steps = measured.steps
        yield from _heading("Steps")
        more = f", {steps.done:,} of them done" if steps.done else ""
        yield [(f"  {steps.total:,} steps{more}: {steps.epochs:g} epochs of {steps.per_epoch:,} steps", "")]
        spread = f", on {steps.processes} processes" if steps.processes > 1 else ""
        yield [(f"  {steps.questions:,} questions in {steps.batches_per_epoch:,} batches an epoch{spread}", "")]
    if measured.memory:
        yield from _heading("Memory")
        for memory in measured.memory:
            yield from _memory(memory)
    if measured.speed:
        yield from _heading("Time")
        for speed in measured.speed:
            yield from _speed(speed)
    for note in measured.notes:
        yield [(f"  note: {escaped(note)}", "quiet")]


def _legend() -> Iterator[Line]:
    names = ("template", "example", "context", "question", "option", "letter")
    yield [("  each line: what the tokens are, how many, their text; colours:", "quiet")]
    yield [("  ", ""), *(piece for name in names for piece in ((name, name), ("  ", "")))]
    yield [("  * ", "scored"), (" the score (in stage sft also the loss) is read from these tokens", "quiet")]


def _prompt(prompt: Prompt) -> Iterator[Line]:
    cut = f", {prompt.cut} tokens of its context are cut" if prompt.cut else ""
    cut += f", {prompt.over} tokens of the question are cut" if prompt.over else ""
    yield []
    yield [(f"  id {escaped(prompt.id)} ({escaped(prompt.where)}), {prompt.why}: {prompt.length} tokens{cut}", "")]
    shared = _shared(prompt.sequences)
    if shared:
        yield from _pieces(prompt.sequences[0][:shared])
    for number, tokens in enumerate(prompt.sequences):
        if len(prompt.sequences) > 1:
            yield [(f"    -- option {'ABCDEFGHIJ'[number]}", "quiet")]
        yield from _pieces(tokens[shared:])


def _shared(sequences: Sequence[Sequence[Token]]) -> int:
    """Tokens at the start of all sequences, up to the text of an option."""
    if len(sequences) == 1:
        return 0
    first = sequences[0]
    ends = [place for place, token in enumerate(first) if token.role == "option"]
    limit = min(ends[0] if ends else len(first), *map(len, sequences))
    same = (place for place in range(limit) if len({sequence[place] for sequence in sequences}) > 1)
    return next(same, limit)


def _pieces(tokens: Sequence[Token]) -> Iterator[Line]:
    for (role, scored), group in groupby(tokens, key=lambda token: (token.role, token.scored)):
        piece = [*group]
        text = escaped("".join(token.text for token in piece))
        if len(text) > SHOWN:
            text = f"{text[: SHOWN // 2]} ... {text[-SHOWN // 2 :]}"
        label = f"    {role:9}{'*' if scored else ' '}{len(piece):>5}  "
        wrapped = textwrap.wrap(text, WIDTH - _LABEL, drop_whitespace=False, replace_whitespace=False) or [""]
        for number, line in enumerate(wrapped):
            yield [(label if number == 0 else " " * _LABEL, "scored" if scored and number == 0 else ""), (line, role)]


def _lengths(lengths: Lengths) -> Iterator[Line]:
    shares = f"minimum {lengths.minimum}, median {lengths.median}, 95 % {lengths.p95}, maximum {lengths.maximum}"
    yield [(f"  {escaped(lengths.name)}: {lengths.questions:,} questions; {shares}", "")]
    most = max(count for _, _, count in lengths.bins)
    for low, high, count in lengths.bins:
        bar = "#" * -(-count * _BAR // most)
        yield [(f"    {low:>6} - {high:<6} {count:>8,}  ", ""), (bar, "option")]
    share = 100 * lengths.cut / lengths.questions
    text = f"    cutoff_len {lengths.cutoff_len}: the context of {lengths.cut:,} is cut ({share:.1f} %)"
    more = f", {lengths.too_long:,} are too long even without it" if lengths.too_long else ""
    yield [(text + more, "bad" if lengths.too_long else "")]


def _memory(memory: Memory) -> Iterator[Line]:
    how = "measured on the longest batch" if memory.measured else "an upper bound; no step was made"
    parts = (("weights", memory.weights), ("gradients", memory.gradients), ("optimizer", memory.optimizer))
    listed = ", ".join(f"{name} {gibibytes(size)}" for name, size in (*parts, ("activations", memory.activations)))
    yield [(f"  {memory.purpose}: {gibibytes(memory.needed)} of {gibibytes(memory.available)} free ({how})", "")]
    checkpointing = f"; gradient checkpointing {'on' if memory.checkpointing else 'off'}" * (memory.gradients > 0)
    yield [(f"    {listed}; {escaped(memory.device)}{checkpointing}", "")]


def _speed(speed: Speed) -> Iterator[Line]:
    longest = f"{speed.longest_seconds:.3g} s on the longest batch ({speed.longest_tokens:,} tokens)"
    typical = f"{speed.typical_seconds:.3g} s on a typical one ({speed.typical_tokens:,} tokens)"
    plural = "steps" if speed.unit == "step" else "batches"
    yield [(f"  {speed.purpose}: a {speed.unit} takes {longest}, {typical}", "")]
    yield [(f"    {speed.steps:,} {plural}: about {duration(speed.seconds)}", "")]


def _verdict(dry: DryRun) -> Line:
    if dry.error:
        return [("The run would not begin: see the error", "bad")]
    if dry.status == FITS:
        return [("It fits.", "good"), (f" Without --dry_run, it writes to {escaped(dry.writes_to)}", "")]
    if dry.status == TOO_LARGE and dry.measured is not None:
        advice = "; ".join(dry.measured.advice)
        return [("It does not fit.", "bad"), (f" Smallest change: {advice}", "")]
    return [("Whether it fits is not known.", "bad")]


def gibibytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"


def duration(seconds: float) -> str:
    """A time for people: below a minute in seconds, else h:mm:ss."""
    return f"{seconds:.3g} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def plain(lines: Iterator[Line]) -> str:
    """The text without styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def show(dry: DryRun) -> None:
    """Print the text: with colours on a terminal where rich is installed, which respects NO_COLOR; else plain."""
    if not sys.stdout.isatty():
        print(plain(lines_of(dry)), flush=True)
        return
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        print(plain(lines_of(dry)), flush=True)
        return
    # rich reads the variables of the time when it was imported
    console = Console(highlight=False, soft_wrap=True, no_color=bool(os.environ.get("NO_COLOR")))
    for line in lines_of(dry):
        console.print(Text.assemble(*((text, STYLES.get(style, "")) for text, style in line)))
