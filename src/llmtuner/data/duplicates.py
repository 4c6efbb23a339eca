"""Find repeated questions: exact duplicates, near duplicates, and contradictions."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from llmtuner.data.normal_form import fold, normal_form
from llmtuner.data.option_letters import compared_forms
from llmtuner.data.question import Question
from llmtuner.data.split import question_key
from llmtuner.data.words import words_and_signs
from llmtuner.files import sha256_of_bytes, sha256_of_json

NEAR = 0.7  # two questions are near duplicates from this Jaccard similarity of their shingles on
_PERMUTATIONS = 128
# Bands and rows of the index. A pair of similarity 0.7 becomes a candidate in 99 of 100 cases, a pair of similarity 0.8
# in all but one of 20,000. Candidates below the threshold are discarded afterwards.
_BANDS = (25, 5)


def exact_key(question: Question) -> tuple[str, tuple[str, ...]]:
    """The identity of a question: its text and set of options in normal form.

    Case does not count, nor do letters of the options' own ("A) mitosis").
    """
    return question_key(question.question), tuple(sorted(set(map(fold, compared_forms(question.options)))))


def stable_id(question: Question) -> str:
    """An id that depends only on the question's text and set of options: 16 hexadecimal digits."""
    return sha256_of_json(exact_key(question))[:16]


def question_digest(question: Question) -> str:
    """A digest of the text and of the options in their order, in normal form: 16 hexadecimal digits.

    Predictions carry it. `stable_id` does not serve them: it is the same if the options change places, or their case.
    """
    return sha256_of_json([normal_form(question.question), compared_forms(question.options)])[:16]


def answer_text(question: Question) -> str | None:
    """The right option's text. Letters cannot be compared between files."""
    return None if question.answer is None else question.options[question.answer]


def answer_key(question: Question) -> str | None:
    """The right option's text in normal form. Its case counts if options differ only in case (AA, Aa, aa)."""
    if question.answer is None:
        return None
    forms = compared_forms(question.options)
    options, form = set(forms), forms[question.answer]
    return fold(form) if len(set(map(fold, options))) == len(options) else form


def groups_of(keys: Iterable[Hashable]) -> list[list[int]]:
    """Row numbers with equal keys, for each key in the order of its first row."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    return list(groups.values())


def same_questions(questions: Sequence[Question], keys: Sequence[Hashable] | None = None) -> list[list[int]]:
    """Groups of rows with the same text and set of options, and the same context if all of them have one.

    Args:
        keys: the rows' `exact_key` if already computed, which takes most of the time.
    """
    groups = groups_of(map(exact_key, questions) if keys is None else keys)
    return [part for rows in groups if len(rows) > 1 for part in _by_context(rows, questions)]


def _by_context(rows: list[int], questions: Sequence[Question]) -> list[list[int]]:
    """Split rows of one question by their contexts, unless one row has no context, which matches any."""
    # Case counts here: a plant of the genotype EE and one of ee look different.
    contexts = [normal_form(questions[row].context) for row in rows]
    if "" in contexts:
        return [rows]
    return [[rows[position] for position in positions] for positions in groups_of(contexts) if len(positions) > 1]


def conflicts(questions: Sequence[Question], groups: Sequence[list[int]] | None = None) -> list[list[int]]:
    """The groups of `same_questions` with rows that contradict each other.

    Args:
        groups: the result of `same_questions` if already computed.
    """
    groups = same_questions(questions) if groups is None else groups
    contradicted = _contradictions(questions, groups)
    return [rows for rows in groups if any(row in contradicted for row in rows)]


def contradictions(questions: Sequence[Question]) -> dict[int, int]:
    """For each contradicted row, the first row that contradicts it.

    Two rows contradict each other if they have the same text and set of options but different answers, unless they
    have two different contexts. The remaining rows have no `conflicts`.
    """
    return _contradictions(questions, same_questions(questions))


def _contradictions(questions: Sequence[Question], groups: Iterable[list[int]]) -> dict[int, int]:
    contradicting: dict[int, int] = {}
    for rows in groups:
        claims = [(row, normal_form(questions[row].context), answer_key(questions[row])) for row in rows]
        # Only the first row of each pair of context and answer is compared, however often the pair is repeated.
        first_rows = {(context, answer): row for row, context, answer in reversed(claims) if answer is not None}
        if len({answer for _, answer in first_rows}) < 2:
            continue
        first_claims = sorted((row, context, answer) for (context, answer), row in first_rows.items())
        for row, context, answer in claims:
            if answer is None:
                continue
            for first_row, first_context, first_answer in first_claims:
                contexts_match = not context or not first_context or context == first_context
                if first_answer != answer and contexts_match:
                    contradicting[row] = first_row
                    break
    return contradicting


def near_groups(questions: Sequence[Question], threshold: float = NEAR) -> list[int]:
    """A group number for each question. Equal numbers are near duplicates, directly or through a chain of them.

    MinHash with locality-sensitive hashing over word pairs of the text and of each option finds the candidates, so the
    order of the options does not matter. A candidate pair counts if the Jaccard similarity of its shingles reaches the
    threshold. Questions with the same normalised text are always in one group.

    Source: Broder, "On the resemblance and containment of documents" (1997); package datasketch.

    Raises:
        ImportError: datasketch is not installed.
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
    # The shingles of each row in the index, as sorted numbers: strings would take three times the memory.
    shingles_by_row: dict[int, Any] = {}

    def new_shingles() -> Iterator[list[int]]:
        """Shingle sets that no earlier row has. A row with a repeated set joins that row at once: in the index, each of
        n equal rows would be compared with all rows before it."""
        first_rows: dict[str, int] = {}
        for row, question in enumerate(questions):
            hashed = sorted(set(map(_hash, shingles_of(question))))
            shingles = np.array(hashed, dtype=np.uint32)
            first_row = first_rows.setdefault(sha256_of_bytes(shingles.tobytes()), row)
            if not hashed:  # neither words nor signs: similar to nothing
                continue
            if first_row != row:
                _join(parents, first_row, row)
                continue
            shingles_by_row[row] = shingles
            yield hashed

    for sketch in MinHash.generator(new_shingles(), num_perm=_PERMUTATIONS, hashfunc=int):
        row = next(reversed(shingles_by_row))
        shingles = shingles_by_row[row]
        for candidate in index.query(sketch):
            if _root(parents, candidate) == _root(parents, row):  # already joined, through a chain or by the text
                continue
            shared = len(np.intersect1d(shingles, shingles_by_row[candidate], assume_unique=True))
            if shared >= threshold * (len(shingles) + len(shingles_by_row[candidate]) - shared):
                _join(parents, candidate, row)
        index.insert(row, sketch, check_duplication=False)


def shingles_of(question: Question) -> set[str]:
    """Pairs of neighbouring words and signs of the text and of each option; a single word is a shingle of its own."""
    shingles: set[str] = set()
    for form in (normal_form(question.question), *compared_forms(question.options)):
        words = words_and_signs(fold(form))
        shingles.update(map(" ".join, pairwise(words)) if len(words) > 1 else words)
    return shingles


def _hash(shingle: str) -> int:
    """A 32-bit hash that is the same in every process, unlike Python's own hash of strings."""
    return zlib.crc32(shingle.encode())


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def _join(parents: list[int], first: int, second: int) -> None:
    """Join the groups of two rows; the smaller row number becomes the group's number."""
    low, high = sorted((_root(parents, first), _root(parents, second)))
    parents[high] = low
