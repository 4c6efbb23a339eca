"""The prompts that have a name: the texts around the fields of a question, and whether they go into chat turns."""

from __future__ import annotations

from dataclasses import dataclass

from llmtuner.spec.entry import table

FIELDS = ("context", "question", "option")  # the text of this name holds {context}, and so on
TEXTS = (*FIELDS, "answer_mark", "system")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptForm:
    """The form of a prompt: `context`, `question` and `answer_mark` ask, `option` answers.

    Only the fields are replaced; other braces are text.

    Args:
        context: left out of a question without a context.
        question: the text of the question.
        option: the answer: an option's text, or its letter in a joint prompt.
        answer_mark: comes before the answer, also without a question.
        system: the system text of the chat template; "" for the template's own.
        turns: whether the texts go into the turns of a chat template, or are plain text.
    """

    context: str = "{context}\n"
    question: str
    option: str
    answer_mark: str = ""
    system: str = ""
    turns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPrompt:
    """A form of prompts with a name.

    Args:
        name: as it is written on the command line.
        help: one line.
        form: its texts.
    """

    name: str
    help: str
    form: PromptForm


PROMPTS = table(
    NamedPrompt(
        name="template",
        help="context and question in the user's turn of --template, the option as the answer",
        form=PromptForm(context="{context}\n\n", question="{question}", option="{option}", turns=True),
    ),
    NamedPrompt(
        name="plain",
        help="plain text, for base models: the context, `Question: ...`, `Answer: ...`; --template is ignored",
        form=PromptForm(question="Question: {question}\n", option=" {option}", answer_mark="Answer:"),
    ),
)
TEMPLATE = PROMPTS["template"].form
