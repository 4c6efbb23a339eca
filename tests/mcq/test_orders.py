"""Joint prompts in several orders of the options: the averages are those of a plain loop over rotated questions."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmtuner.data.question import MAX_OPTIONS, Question
from llmtuner.data.tokens.joint import JointEncoder
from llmtuner.data.tokens.templates import template_of
from llmtuner.errors import FieldError
from llmtuner.mcq import resolve_run
from llmtuner.mcq.choices import resolve
from llmtuner.mcq.collate import Collator
from llmtuner.mcq.encoding import complete, make_encoder
from llmtuner.mcq.letter import plain_letter_scores
from llmtuner.mcq.model import attach_head
from llmtuner.mcq.orders import InOrders, average, rotated
from llmtuner.mcq.predict import Scoring, predict_questions, score_questions
from llmtuner.mcq.questions import QuestionSet
from llmtuner.mcq.scorer import OptionScorer
from llmtuner.spec.flags import FIELDS
from llmtuner.spec.heads import LETTERS

WORDS = ["volt", "ohm", "watt", "ampere", "farad", "henry", "tesla", "weber", "joule", "newton"]
LETTER = Collator("joint", "none", 0, reads=LETTERS)


def asked(number: int, options: int, *, words: int = 3, context: str = "") -> Question:
    texts = tuple(f"the {WORDS[(number + 3 * place) % 10]}" + " indeed" * (place % 3) for place in range(options))
    return Question(str(number), "Which unit " + "of the many " * words + "is meant?", texts, number % options, context)


# Mixed numbers of options, lengths far apart (so that batches are padded), and equal options.
QUESTIONS = [
    asked(0, 4),
    asked(1, 2, words=9, context="A potential difference drives a current. " * 6),
    asked(2, 5, words=0),
    asked(3, 3, context="One ohm."),
    Question("4", "Which?", ("same", "same", "another"), 2),
    asked(5, 5, words=20),
]


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def model(tiny_llama):
    """With larger weights than a fresh model, so that the letters' probabilities differ."""
    loaded = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    with torch.no_grad():
        for parameter in loaded.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return loaded


def encoded(tokenizer, questions, cutoff_len: int = 2048) -> QuestionSet:
    return QuestionSet(questions, JointEncoder(tokenizer, template_of(tokenizer), cutoff_len))


def score(model, questions: QuestionSet, orders: int, **more):
    scoring = Scoring(LETTER, forward=plain_letter_scores, orders=orders, **more)
    return score_questions(model, questions, scoring)


def plain_loop(model, tokenizer, question: Question, orders: int, cutoff_len: int = 2048) -> list[float]:
    """The mean probability of each option, one prompt at a time, by the option's number."""
    encoder = JointEncoder(tokenizer, template_of(tokenizer), cutoff_len)
    count = len(question.options)
    used = min(orders, count)
    means = [0.0] * count
    for shift in range(used):
        numbers = [*range(shift, count), *range(shift)]
        texts = tuple(question.options[number] for number in numbers)
        (tokens,) = encoder.encode([Question("0", question.question, texts, None, question.context)])
        with torch.no_grad():
            logits = model(torch.tensor([tokens.scored])).logits[0, -1].double()
        letters = logits[tokens.letter_ids].softmax(-1)
        for place, number in enumerate(numbers):
            means[number] += float(letters[place]) / used
    return means


@pytest.mark.parametrize("orders", [2, 3, 10])
@pytest.mark.parametrize("batch", [{"batch_size": 1}, {"batch_size": 4}, {"batch_size": 99}, {"tokens_per_batch": 400}])
def test_averages_are_those_of_a_plain_loop(model, tokenizer, orders, batch):
    """A question with fewer options than orders has each of its own orders once."""
    actual = score(model, encoded(tokenizer, QUESTIONS), orders, **batch)
    for question, scores in zip(QUESTIONS, actual, strict=True):
        expected = plain_loop(model, tokenizer, question, orders)
        assert [math.exp(number) for number in scores] == pytest.approx(expected, abs=1e-5)


def test_prompts_that_are_cut_lose_the_same_context_in_every_order(model, tokenizer):
    cut = encoded(tokenizer, QUESTIONS, 90)
    assert cut.tokens[1].cut, "what is to be tested happens"
    actual = score(model, cut, 2)[1]
    assert [math.exp(n) for n in actual] == pytest.approx(plain_loop(model, tokenizer, QUESTIONS[1], 2, 90), abs=1e-5)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_rotating_the_options_rotates_their_averages(model, tokenizer, question):
    """With as many orders as options; with one order the letters' places decide."""
    count = len(question.options)
    for shift in range(1, count):
        both = encoded(tokenizer, [question, rotated(question, shift)])
        before, after = score(model, both, count)
        assert after == pytest.approx((*before[shift:], *before[:shift]), abs=1e-5)
    before, after = score(model, encoded(tokenizer, [question, rotated(question, 1)]), 1)
    assert after != pytest.approx((*before[1:], *before[:1]), abs=1e-2), "this model prefers places"


def test_one_order_is_the_plain_score_bit_for_bit(model, tokenizer):
    questions = encoded(tokenizer, QUESTIONS)
    assert score(model, questions, 1) == score_questions(model, questions, Scoring(LETTER, forward=plain_letter_scores))


def test_a_right_answer_moves_with_its_option():
    for question in QUESTIONS:
        for shift in range(len(question.options)):
            moved = rotated(question, shift)
            assert moved.options[moved.answer] == question.options[question.answer]
            assert moved.options[0] == question.options[shift]


def test_extreme_scores_stay_finite():
    """The exponential of -2,000 is zero, and the logarithm of zero would mark an option that cannot be scored."""
    low, high = average([(0.0, -2000.0), (0.0, -2000.0)])
    assert math.isfinite(low)
    assert math.isfinite(high)
    far = average([(0.0, -2000.0), (-2000.0, 0.0)])
    assert far[0] == pytest.approx(0.0, abs=1e-12)
    assert far[1] == pytest.approx(-2000.0)


def test_each_order_is_a_prompt_of_a_batch(tokenizer, monkeypatch):
    """All orders of a question in one row of a batch would take as many times the memory."""
    questions = encoded(tokenizer, QUESTIONS)
    several = InOrders(questions, 3)
    assert len(several) == 3 + 2 + 3 + 3 + 3 + 3
    for row in range(len(several)):
        assert len(several[row].tokens.scored) == several.shapes("joint")[row][1], "what the token budget counts"
    sizes = []

    def forward(model, inputs):
        sizes.append(inputs["input_ids"].numel())
        return plain_letter_scores(model, inputs)

    one = AutoModelForCausalLM.from_pretrained(tokenizer.name_or_path).eval()
    longest = max(length for _, length in questions.shapes("joint"))
    scoring = Scoring(LETTER, forward=forward, orders=3, tokens_per_batch=2 * longest)
    score_questions(one, questions, scoring)
    assert max(sizes) <= 2 * longest
    assert len(sizes) > len(QUESTIONS)


def test_a_joint_linear_head_is_averaged_by_option_too(tiny_llama, tokenizer):
    """Its classes are places of the prompt, as letters are."""
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    settings = resolve("causal", {"layout": "joint"}).with_(num_options=4)
    torch.manual_seed(0)
    model = attach_head(base, settings).eval()
    encoder = make_encoder(settings, tokenizer, base.config, cutoff_len=512, template=template_of(tokenizer))
    settings = complete(settings, encoder, base.config, None)
    torch.nn.init.normal_(model.mcq_head.mcq_score.weight, std=0.5)
    questions = [asked(number, 4) for number in range(5)]
    single = OptionScorer(model, tokenizer, settings)
    several = OptionScorer(model, tokenizer, settings, option_orders=4)
    turned = [[*single.score([rotated(question, shift) for question in questions])] for shift in range(4)]
    for number, prediction in enumerate(several.score(questions, batch_size=3)):
        means = [
            sum(turned[shift][number].probabilities[(option - shift) % 4] for shift in range(4)) / 4
            for option in range(4)
        ]
        assert prediction.probabilities == pytest.approx(means, abs=1e-5)
        assert prediction.scores == pytest.approx([math.log(mean) for mean in means], abs=1e-4)
        assert prediction.answer == questions[number].answer
    assert several.score(questions) != single.score(questions)


def test_ready_questions_are_encoded_as_they_were(model, tokenizer):
    """Stage sft encodes prompts with their answers, which take their share of the limit."""
    encoder = JointEncoder(tokenizer, template_of(tokenizer), 90)
    ready = QuestionSet.ready(QUESTIONS, encoder.encode(QUESTIONS), lambda question: encoder.encode([question])[0])
    several = InOrders(ready, 2)
    for row, question in enumerate(several.questions):
        shift = row - several.questions.index(question)
        assert several[row].tokens.scored == encoder.encode([rotated(question, shift)])[0].scored
    assert predict_questions(model, ready, Scoring(LETTER, forward=plain_letter_scores, orders=2))


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        ({}, {}, "in the layout shared_prefix options do not see each other"),
        ({"head": "likelihood", "layout": "per_option"}, {}, "in the layout per_option options do not see"),
        ({"head": "letter"}, {"predicting": False}, "it is for predictions"),
        ({"head": "letter", "option_orders": 11}, {}, "expected a whole number of at least 1 and of at most 10"),
    ],
)
def test_it_is_for_predictions_from_joint_prompts(given, more, message, tiny_llama):
    training = {"training": True, "predicting": True, **more}
    with pytest.raises(FieldError, match=message):
        resolve_run(str(tiny_llama), given={"option_orders": 3, **given}, **training)
    assert resolve_run(str(tiny_llama), given={**given, "option_orders": 1}, **training).option_orders == 1


def test_no_more_orders_than_a_question_can_have():
    assert FIELDS["option_orders"].range.high == MAX_OPTIONS
