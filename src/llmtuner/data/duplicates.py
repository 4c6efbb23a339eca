"""Questions that say the same: exactly, nearly, or with another answer."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.data.words import words_and_signs
from llmtuner.files import sha256_of_bytes, sha256_of_json

NEAR = 0.7  # Jaccard similarity of shingles from which two questions count as near duplicates
_PERMUTATIONS = 128
# Bands and rows of the index: a pair of similarity 0.7 becomes a candidate in 99 cases of 100, one of 0.8 in all but
# one of 20,000. What is below the threshold is found out afterwards.
_BANDS = (25, 5)


def exact_key(question: Question) -> tuple[str, tuple[str, ...]]:
    """What makes a question the same one: its text and its options as a set, but for Unicode form, case and blanks.

    The Unicode form is NFKC, which takes what is raised for what is not: 10² is 102 to it, and H₂O is H2O.
    """
    return question_key(question.question), tuple(sorted(set(map(question_key, question.options))))


def stable_id(question: Question) -> str:
    """A name that depends on the question's text and option set alone: 16 hexadecimal digits."""
    return sha256_of_json(exact_key(question))[:16]


def answer_text(question: Question) -> str | None:
    """The right option's text, since letters mean nothing between files."""
    return None if question.answer is None else question.options[question.answer]


def answer_key(question: Question) -> str | None:
    """That text in its normal form; its case counts where options differ in nothing else (AA, Aa, aa)."""
    text = answer_text(question)
    if text is None:
        return None
    options = set(map(plain, question.options))
    return question_key(text) if len(set(map(question_key, options))) == len(options) else plain(text)


def plain(text: str) -> str:
    """A text but for blanks. Case is kept: AA, Aa and aa are three genotypes, and three options."""
    return " ".join(text.split())


def groups_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """Row numbers with equal keys, for each key in the order of its first row."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    return list(groups.values())


def same_questions(questions: Sequence[Question], keys: Sequence[Hashable] | None = None) -> list[list[int]]:
    """Groups of rows with the same text and option set, and the same context where all of them have one.

    Args:
        keys: the rows' `exact_key`, where it is known: finding it takes most of the time.
    """
    groups = groups_of(map(exact_key, questions) if keys is None else keys)
    return [part for rows in groups if len(rows) > 1 for part in _by_context(rows, questions)]


def _by_context(rows: list[int], questions: Sequence[Question]) -> list[list[int]]:
    """Rows of one question, parted where they have different contexts; one without a context goes with any."""
    # Case counts here: a plant of the genotype EE and one of ee look different.
    contexts = [plain(questions[row].context) for row in rows]
    if "" in contexts:
        return [rows]
    return [[rows[place] for place in places] for places in groups_of(contexts) if len(places) > 1]


def conflicts(questions: Sequence[Question], same: Sequence[list[int]] | None = None) -> list[list[int]]:
    """The groups of `same_questions` with rows that contradict each other.

    Args:
        same: those groups, where they are known.
    """
    same = same_questions(questions) if same is None else same
    found = _contradictions(questions, same)
    return [rows for rows in same if any(row in found for row in rows)]


def contradictions(questions: Sequence[Question]) -> dict[int, int]:
    """For each row that another one contradicts, the first such row.

    Two rows contradict each other where text and option set are the same, both name an answer, and these differ, unless
    they ask about two different contexts. What is left without these rows has no `conflicts`.
    """
    return _contradictions(questions, same_questions(questions))


def _contradictions(questions: Sequence[Question], same: Iterable[list[int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for rows in same:
        said = [(row, plain(questions[row].context), answer_key(questions[row])) for row in rows]
        # The first row of each context and answer is enough to look at, however often it is there again.
        first = {(context, answer): row for row, context, answer in reversed(said) if answer is not None}
        if len({answer for _, answer in first}) < 2:
            continue
        claims = sorted((row, *claim) for claim, row in first.items())
        for row, mine, answer in said:
            for other, context, another in claims if answer is not None else ():
                if another != answer and (not mine or not context or mine == context):
                    found[row] = other
                    break
    return found


def near_groups(questions: Sequence[Question], threshold: float = NEAR) -> list[int]:
    """A group number for each question; equal numbers are near duplicates, also through a chain of them.

    Candidates come from MinHash with locality-sensitive hashing over word pairs of the text and of each option, so that
    the order of the options means nothing; a pair counts where the Jaccard similarity of its shingles reaches the
    threshold, and questions with the same normalised text always go together.

    Source: Broder, "On the resemblance and containment of documents" (1997); package datasketch.
    """
    parents = list(range(len(questions)))
    for rows in groups_of(question_key(question.question) for question in questions):
        for row in rows[1:]:
            _join(parents, rows[0], row)
    _join_near(parents, questions, threshold)
    return [_root(parents, row) for row in range(len(questions))]


def _join_near(parents: list[int], questions: Sequence[Question], threshold: float) -> None:
    import numpy as np
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=_PERMUTATIONS, params=_BANDS)
    # The shingles of each row in the index, as sorted numbers: texts would take three times the memory.
    kept: dict[int, Any] = {}

    def different() -> Iterator[list[int]]:
        """Shingles that no earlier row has. A row that has the same goes to it at once: in the index, each of n equal
        rows would be compared with all before it."""
        first: dict[str, int] = {}
        for row, question in enumerate(questions):
            hashed = sorted(set(map(_hash, shingles_of(question))))
            mine = np.array(hashed, dtype=np.uint32)
            same = first.setdefault(sha256_of_bytes(mine.tobytes()), row)
            if not hashed:  # neither words nor signs: like nothing
                continue
            if same != row:
                _join(parents, same, row)
                continue
            kept[row] = mine
            yield hashed

    for sketch in MinHash.generator(different(), num_perm=_PERMUTATIONS, hashfunc=int):
        row = next(reversed(kept))
        mine = kept[row]
        for other in index.query(sketch):
            if _root(parents, other) == _root(parents, row):  # through a chain, or by their text
                continue
            shared = len(np.intersect1d(mine, kept[other], assume_unique=True))
            if shared >= threshold * (len(mine) + len(kept[other]) - shared):
                _join(parents, other, row)
        index.insert(row, sketch, check_duplication=False)


def shingles_of(question: Question) -> set[str]:
    """Pairs of words and signs of the text and of each option; a text of one of them is that one."""
    found: set[str] = set()
    for text in (question.question, *question.options):
        words = words_and_signs(question_key(text))
        found.update(map(" ".join, pairwise(words)) if len(words) > 1 else words)
    return found


def _hash(shingle: str) -> int:
    """32 bits, the same in every process (Python's own hash of texts is not)."""
    return zlib.crc32(shingle.encode())


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _join(parents: list[int], one: int, other: int) -> None:
    """The smaller row number becomes the group's."""
    low, high = sorted((_root(parents, one), _root(parents, other)))
    parents[high] = low
