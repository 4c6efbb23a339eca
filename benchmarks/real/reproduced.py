"""How far two files of kept runs agree: the same runs on two machines, or of two commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from real.kept import Kept, read_ranks

Runs = Mapping[tuple[str, str], Kept]  # by model and run


def reproduced(first: Sequence[Kept], second: Sequence[Kept]) -> Iterator[str]:
    """A line for each run that both files have, and one for all of them: questions with another rank, and MAP@3."""
    ours, theirs = _by_name(first), _by_name(second)
    shared = [name for name in ours if name in theirs and ours[name].ranks]
    equal, largest = 0, 0.0
    for name in shared:
        one, other = ours[name], theirs[name]
        if (one.flags, one.files) != (other.flags, other.files):
            yield f"{name[1]}: other flags or questions, so not compared"
            continue
        moved, difference, questions = _compare(one, other)
        equal += moved == 0
        largest = max(largest, difference)
        yield f"{name[1]}: {moved} of {questions} ranks differ, MAP@3 by at most {difference:.4f}"
    yield f"{len(shared)} runs in both files, {equal} of them with equal ranks; MAP@3 differs by at most {largest:.4f}"


def _by_name(runs: Sequence[Kept]) -> Runs:
    return {(each.model, each.run): each for each in runs}


def _compare(one: Kept, other: Kept) -> tuple[int, float, int]:
    """Ranks that differ, the largest difference of a file's MAP@3, and the number of ranks."""
    moved, largest, questions = 0, 0.0, 0
    for file, of_norms in one.ranks.items():
        for norm, texts in of_norms.items():
            ours, theirs = read_ranks(texts), read_ranks(other.ranks[file][norm])
            differs = (ours.above_Q != theirs.above_Q) | (ours.tied_Q != theirs.tied_Q)
            moved += int(np.count_nonzero(differs))
            largest = max(largest, abs(ours.mean_reciprocal(3) - theirs.mean_reciprocal(3)))
            questions += len(differs)
    return moved, largest, questions
