"""Refuses passages that hold a question with its options: the exam itself, or a copy of it, in the corpus.

The guard never looks at the right answer, so scored and unlabelled questions get the same passages.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtuner.data.normal_form import normal_form
from llmtuner.data.question import Question
from llmtuner.data.words import words
from llmtuner.retrieval.passages import Chunk

AROUND = 500  # words before and after a passage that are read with it
_GRAM = 8  # words
_SHARE = (4, 5)  # of the prompt's grams
_SHORT = 4  # words: a shorter prompt says too little, so that all options are needed
_OPTIONS = 2


class LeakGuard:
    """Which passages a question must not get.

    A passage is refused when it, together with its title and the 500 words before and after it in its document, holds

    - at least 0.8 of the different 8-grams of the prompt's words (of a shorter prompt, all its words in a row), and
    - all words in a row of at least two options; of all options if the prompt has fewer than four words.

    Texts are compared by their words in lower case (`llmtuner.data.words`), so Chinese by its characters; signs do not
    count. A prompt or option without words is never held. The options' order and the right answer play no part.

    Args:
        prompt: the question's text, without its context.
        options: their texts.
    """

    def __init__(self, prompt: str, options: Sequence[str]) -> None:
        prompt_words = compared_words(prompt)
        size = min(_GRAM, len(prompt_words))
        places = range(len(prompt_words) - size + 1) if prompt_words else ()
        self._grams = list(dict.fromkeys(_spaced(prompt_words[place : place + size]) for place in places))
        option_words = list(map(compared_words, options))
        self._options = [_spaced(each) for each in option_words if each]
        self._needed = len(options) if len(prompt_words) < _SHORT else _OPTIONS
        self._missing = len(self._grams) * (_SHARE[1] - _SHARE[0]) // _SHARE[1]
        self._decidable = bool(self._grams) and len(self._options) >= self._needed

    @classmethod
    def of(cls, question: Question) -> LeakGuard:
        """The guard of a question; its answer is not read."""
        return cls(question.question, question.options)

    def refuses(self, chunk: Chunk, before: str = "", after: str = "") -> bool:
        """Whether the question must not get this passage.

        Args:
            before, after: the text of its document around it; of a longer one, the nearest 500 words count.
        """
        if not self._decidable:
            return False
        title, passage = compared_words(chunk.title), compared_words(chunk.text)
        around = compared_words(before)[-AROUND:], compared_words(after)[:AROUND]
        text = _spaced([*title, *around[0], *passage, *around[1]])
        # The options first: they are few, and most passages do not hold two of them.
        if sum(option in text for option in self._options) < self._needed:
            return False
        missing = 0
        for gram in self._grams:
            missing += gram not in text
            if missing > self._missing:
                return False
        return True


def compared_words(text: str) -> list[str]:
    """The words by which texts are compared and counted here."""
    return words(normal_form(text))


def _spaced(text_words: Sequence[str]) -> str:
    """Words with a blank on both sides, so that whole words match."""
    return f" {' '.join(text_words)} "
