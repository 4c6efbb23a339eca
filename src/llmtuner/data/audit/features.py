"""Features of an option relative to the other options of its question. None of them needs knowledge of the subject.

Source: cues in badly written tests that test-wise students use (Millman, Bishop and Ebel, "An analysis of
test-wiseness", Educational and Psychological Measurement 25, 1965): length, overlap with the stem, absolute and
cautious words.
"""

from __future__ import annotations

from llmtuner.data.audit.shortcuts import (
    option_words,
    similarity_to_others,
    similarity_to_question,
    stem_words,
    word_sets,
)
from llmtuner.data.audit.wording import has_digits, of_the_above
from llmtuner.data.question import Question

_ABSOLUTE = {"all", "always", "completely", "entirely", "every", "exclusively", "must", "never", "no", "none", "only"}
_CAUTIOUS = {"can", "could", "generally", "likely", "may", "might", "mostly", "often", "primarily", "some", "usually"}
NAMES = (  # besides them, the model has a feature for each place that an option can stand at
    "length rank",
    "relative length",
    "longest",
    "shortest",
    "words",
    "like the question",
    "like the other options",
    "repeats the question's words",
    "all or none of the above",
    "has digits",
    "ends with a point",
    "absolute words",
    "cautious words",
)


def features(question: Question) -> list[list[float]]:
    """The features of each option, in the order of `NAMES`. The answer is not used.

    Returns:
        [options, features]
    """
    lengths = [len(option) for option in question.options]
    mean, most, least = sum(lengths) / len(lengths) or 1.0, max(lengths), min(lengths)
    stem = stem_words(question.question)
    words_of, sets = option_words(question.options), word_sets(question.options)
    question_similarity = similarity_to_question(question.question, question.options)
    option_similarity = similarity_to_others(question.options)
    rows = []
    for position, option in enumerate(question.options):
        own_words, length = words_of[position], lengths[position]
        rows.append(
            [
                sum([shorter < length for shorter in lengths]) / (len(lengths) - 1),
                length / mean,
                float(length == most),
                float(length == least),
                float(len(own_words)),
                question_similarity[position],
                option_similarity[position],
                sum([word in stem for word in own_words]) / len(own_words) if own_words else 0.0,
                float(of_the_above(option)),
                float(has_digits(option)),
                float(option.rstrip().endswith(".")),
                float(not _ABSOLUTE.isdisjoint(sets[position])),
                float(not _CAUTIOUS.isdisjoint(sets[position])),
            ]
        )
    return rows
