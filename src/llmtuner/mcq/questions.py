"""Questions with their tokens, as a data set from which batches are picked."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch.utils.data import Dataset

from llmtuner.data.duplicates import question_digest
from llmtuner.data.pauses import garbage_collection_paused
from llmtuner.data.question import MAX_OPTIONS, MIN_OPTIONS, Question
from llmtuner.data.tokens.encoder import PromptEncoder
from llmtuner.data.tokens.fit import Length, listed, settle_too_long
from llmtuner.data.tokens.joint import JointTokens
from llmtuner.data.tokens.option import OptionEncoder, OptionTokens
from llmtuner.errors import DataError
from llmtuner.mcq.layouts import layout_of
from llmtuner.mcq.option_texts import check_texts

Tokens = OptionTokens | JointTokens
NOT_COUNTED = -100  # the label of a question without an answer, or of one that only pads a batch
_CHUNK = 1000  # questions per tokenizer call


@dataclass(frozen=True, slots=True)
class Pick:
    """A question in a batch. If not counted, it only keeps the processes in step and adds nothing to the loss."""

    row: int
    counted: bool = True
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A question's tokens and label, ready to be collated.

    Args:
        probabilities: of its options, to train on in place of the label.
        weight: how much it counts in a training.
    """

    tokens: Tokens
    label: int
    row: int
    probabilities: tuple[float, ...] | None = None
    weight: float = 1.0


class QuestionSet(Dataset):
    """Questions encoded once; with `shuffle_seed`, joint prompts are encoded again with permuted options.

    Args:
        questions: their answers may be missing.
        encoder: for joint prompts or for one sequence per option; None for a set that gets its tokens later.
        shuffle_seed: permute the options of a picked question by this seed, the epoch, its content and its id. A
            renamed file gives the same order, so that a training can resume with it.

    Raises:
        DataError: a question has one option, or more than there are letters; an option gives no tokens.
    """

    def __init__(
        self, questions: Sequence[Question], encoder: PromptEncoder | None = None, *, shuffle_seed: int | None = None
    ) -> None:
        self.questions = list(questions)
        for question in self.questions:
            if not MIN_OPTIONS <= len(question.options) <= MAX_OPTIONS:
                count = len(question.options)
                raise DataError(
                    f"question {question.shown_id}: {count} options, expected {MIN_OPTIONS} to {MAX_OPTIONS}"
                )
        self._encoder, self._shuffle_seed = encoder, shuffle_seed
        self._ready_encode: Callable[[Question], Tokens] | None = None
        self.tokens: list[Tokens] = []
        with garbage_collection_paused():
            for begin in range(0, len(self.questions), _CHUNK):
                assert encoder is not None, "questions without tokens need an encoder"
                self.tokens += encode(encoder, self.questions[begin : begin + _CHUNK])

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def shuffles(self) -> bool:
        """Whether the options of a picked question are permuted."""
        return self._shuffle_seed is not None

    def __getitem__(self, pick: Pick | int) -> Example:
        pick = Pick(pick) if isinstance(pick, int) else pick
        question, tokens = self.questions[pick.row], self.tokens[pick.row]
        if self._shuffle_seed is not None:
            question = permuted(
                question, f"{self._shuffle_seed}/{pick.epoch}/{question_digest(question)}/{question.id}"
            )
            assert self._encoder is not None, "options are permuted before they are encoded"
            tokens = encode(self._encoder, [question])[0]
        answer = question.answer if pick.counted else None
        label = NOT_COUNTED if answer is None else answer
        return Example(tokens, label, pick.row, question.probabilities, question.weight)

    @classmethod
    def ready(
        cls,
        questions: Sequence[Question],
        tokens: Sequence[Tokens],
        encode_one: Callable[[Question], Tokens] | None = None,
    ) -> QuestionSet:
        """A set of questions that are already encoded.

        Args:
            encode_one: encodes a question as these were encoded.
        """
        known = cls([])
        known.questions, known.tokens, known._ready_encode = list(questions), list(tokens), encode_one
        return known

    def encode_one(self, question: Question) -> Tokens:
        """The tokens of a question that is not in the set, as those of the set were made."""
        if self._ready_encode is not None:
            return self._ready_encode(question)
        assert self._encoder is not None, "ready questions come with what encoded them"
        return encode(self._encoder, [question])[0]

    def subset(self, rows: Sequence[int]) -> QuestionSet:
        """Some of the questions, without encoding again."""
        part = QuestionSet([], self._encoder, shuffle_seed=self._shuffle_seed)
        part.questions, part.tokens = [self.questions[row] for row in rows], [self.tokens[row] for row in rows]
        return part

    def joined(self, others: Sequence[QuestionSet]) -> QuestionSet:
        """This set followed by others, as one set, without encoding again."""
        everything = QuestionSet([], self._encoder, shuffle_seed=self._shuffle_seed)
        for part in (self, *others):
            everything.questions += part.questions
            everything.tokens += part.tokens
        return everything

    def shapes(self, layout: str) -> list[tuple[int, int]]:
        """Number of rows and longest row of each question on its own."""
        shape = layout_of(layout).shape
        return [shape(tokens) for tokens in self.tokens]

    def fitted(self, cutoff_len: int, *, training: bool, drop: bool) -> tuple[QuestionSet, tuple[str, ...]]:
        """The questions that a run uses, and lines for the user about those that did not fit.

        Raises:
            DataError: training questions are too long, or dropping them leaves none; a question cannot be read.
        """
        settled = settle_too_long(self.fits(), cutoff_len, training=training, drop=drop)
        used = self if len(settled.rows) == len(self) else self.subset(settled.rows)
        return used, (*settled.lines, *used.require_readable(training=training))

    def require_readable(self, *, training: bool) -> list[str]:
        """Lines for the user about options that cannot be read.

        Raises:
            DataError: the model has no positions for a question; the head cannot score an option.
        """
        self.require_positions()
        if isinstance(self._encoder, OptionEncoder) and self._encoder.likelihood:
            tokens = [tokens for tokens in self.tokens if isinstance(tokens, OptionTokens)]
            return check_texts(list(zip(self.questions, tokens, strict=True)), training=training)
        return self.unread_options()

    def neutral(self) -> QuestionSet:
        """The same options behind the neutral prompt, without context and question."""
        assert isinstance(self._encoder, OptionEncoder), "joint prompts have no neutral form"
        return QuestionSet.ready(self.questions, self._encoder.encode_neutral(self.questions))

    def require_positions(self) -> None:
        """Refuse questions of which not even the options fit into the model's table of positions.

        Raises:
            DataError: with the places of the questions.
        """
        last = None if self._encoder is None else self._encoder.positions
        if last is None:
            return
        lengths = [max(map(len, tokens.sequences)) for tokens in self.tokens]
        lines = [
            f"{question.where}: id {question.shown_id}: {length} tokens without its question text"
            for question, length in zip(self.questions, lengths, strict=True)
            if length > last
        ]
        if lines:
            raise DataError(
                "\n".join(
                    [
                        f"the options of {len(lines)} questions are longer than the model, which has positions for "
                        f"{last} tokens; shorten them, or use a model that reads more:",
                        *listed(lines),
                    ]
                )
            )

    def unread_options(self) -> list[str]:
        """Options that are not blank but give no token, such as characters that the tokenizer drops."""
        unread = [
            f"{question.where}: id {question.shown_id}: option {question.letters[place]}"
            for question, tokens in zip(self.questions, self.tokens, strict=True)
            if isinstance(tokens, OptionTokens)
            for place, ((begin, end), text) in enumerate(zip(tokens.options, question.options, strict=True))
            if begin == end and text.strip()
        ]
        if not unread:
            return []
        return [f"{len(unread)} options give no tokens, so the model cannot see them:", *listed(unread)]

    def fits(self) -> list[Length]:
        """How each question met the limit of tokens."""
        pairs = zip(self.questions, self.tokens, strict=True)
        return [Length(row, q.where, q.id, tokens.cut, tokens.over) for row, (q, tokens) in enumerate(pairs)]


def encode(encoder: PromptEncoder, questions: Sequence[Question]) -> Sequence[Tokens]:
    """The questions' tokens; answers are not read, so that training and prediction see the same."""
    return encoder.encode([replace(question, answer=None) for question in questions])


def permuted(question: Question, key: str) -> Question:
    """The same question with its options in an order that depends only on the key."""
    order = list(range(len(question.options)))
    random.Random(hashlib.sha256(key.encode()).digest()).shuffle(order)
    answer = None if question.answer is None else order.index(question.answer)
    soft = None if question.probabilities is None else tuple(question.probabilities[i] for i in order)
    return replace(question, options=tuple(question.options[i] for i in order), answer=answer, probabilities=soft)
