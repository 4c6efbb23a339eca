"""What an option looks like beside the others of its question, in numbers: all of it can be seen without knowledge.

Sources: cues of badly written tests that the test-wise use (Millman, Bishop and Ebel, "An analysis of test-wiseness",
Educational and Psychological Measurement 25, 1965): length, overlap with the stem, absolute and cautious words.
"""

from __future__ import annotations

from llmtuner.data.audit.shortcuts import to_others, to_question
from llmtuner.data.audit.wording import of_the_above
from llmtuner.data.question import MAX_OPTIONS, Question
from llmtuner.data.words import words

_ABSOLUTE = {"all", "always", "completely", "entirely", "every", "exclusively", "must", "never", "no", "none", "only"}
_CAUTIOUS = {"can", "could", "generally", "likely", "may", "might", "mostly", "often", "primarily", "some", "usually"}
NAMES = (
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
    *(f"stands at place {place + 1}" for place in range(MAX_OPTIONS)),
)


def features(question: Question) -> list[list[float]]:
    """One list of numbers an option, in the order of `NAMES`; the answer is not looked at."""
    lengths = [len(option) for option in question.options]
    mean = sum(lengths) / len(lengths) or 1.0
    asked = words(question.question)
    found = [words(option) for option in question.options]
    sets = [set(mine) for mine in found]
    stem, likes_stem, likes_others = set(asked), to_question(asked, sets), to_others(sets)
    rows = []
    for place, option in enumerate(question.options):
        mine, length = found[place], lengths[place]
        rows.append(
            [
                sum(other < length for other in lengths) / (len(lengths) - 1),
                length / mean,
                float(length == max(lengths)),
                float(length == min(lengths)),
                float(len(mine)),
                likes_stem[place],
                likes_others[place],
                sum(word in stem for word in mine) / len(mine) if mine else 0.0,
                float(of_the_above(option)),
                float(any(char.isdigit() for char in option)),
                float(option.rstrip().endswith(".")),
                float(not _ABSOLUTE.isdisjoint(sets[place])),
                float(not _CAUTIOUS.isdisjoint(sets[place])),
                *(float(place == other) for other in range(MAX_OPTIONS)),
            ]
        )
    return rows
