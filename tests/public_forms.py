"""Rows of every public form of question files, each with the same three questions; for several tests."""

from __future__ import annotations

TEXTS = ["Oxygen", "Neon", "Carbon dioxide", "Helium"]
ASKED = [("Plants take in which gas?", 2), ("Which gas do we breathe?", 0), ("Which gas lights signs?", 1)]
LETTERS = "ABCD"


def hub_choices(labels=LETTERS):
    return {"text": TEXTS, "label": list(labels)}


def nested(question, labels=LETTERS):
    choices = [{"label": label, "text": text} for label, text in zip(labels, TEXTS, strict=True)]
    return {"stem": question, "choices": choices, "question_concept": "gas"}


def wrong(answer):
    return [text for text in TEXTS if text != TEXTS[answer]]


def pair(answer):
    """Two options in the order of the texts, one of them right."""
    return TEXTS[:2] if answer < 2 else TEXTS[1:3]


def of_two(answer):
    return answer if answer < 2 else answer - 1


# form: a row of a question with the index of its answer; the passage is "A passage." where the form has one
ROWS = {
    "kaggle": lambda q, a: {"prompt": q, **dict(zip(LETTERS, TEXTS, strict=True)), "answer": LETTERS[a]},
    "lm_eval": lambda q, a: {"query": q, "choices": TEXTS, "gold": a},
    "choices": lambda q, a: {"question": q, "choices": TEXTS, "answer": a},
    "options": lambda q, a: {"question": q, "options": TEXTS, "answer": a},
    "ceval": lambda q, a: {"question": q, **dict(zip(LETTERS, TEXTS, strict=True)), "answer": LETTERS[a]},
    "cmmlu": lambda q, a: {"Question": q, **dict(zip(LETTERS, TEXTS, strict=True)), "Answer": LETTERS[a]},
    "scienceqa": lambda q, a: {"question": q, "choices": TEXTS, "answer": a, "hint": "A passage.", "lecture": ""},
    "mmlu": lambda q, a: {"question": q, "subject": "biology", "choices": TEXTS, "answer": a},
    "mmlu_pro": lambda q, a: {
        **{"question_id": f"{a}", "question": q, "options": [*TEXTS, "N/A", "N/A"]},
        **{"answer": LETTERS[a], "answer_index": a, "cot_content": ""},
    },
    "ai2": lambda q, a: {"id": f"x{a}", "question": q, "choices": hub_choices(), "answerKey": LETTERS[a]},
    "ai2_nested": lambda q, a: {"id": f"x{a}", "question": nested(q), "answerKey": LETTERS[a]},
    "openbookqa": lambda q, a: {
        **{"id": f"7-{a}", "question_stem": q, "choices": hub_choices()},
        **{"answerKey": LETTERS[a], "fact1": "A passage."},
    },
    "qasc": lambda q, a: {
        **{"question": q, "choices": hub_choices(), "answerKey": LETTERS[a]},
        **{"fact1": "A passage.", "fact2": "", "combinedfact": "c" * 60, "formatted_question": "f" * 60},
    },
    "race": lambda q, a: {
        **{"example_id": "high1.txt", "article": "A passage.", "question": q},
        **{"options": TEXTS, "answer": LETTERS[a]},
    },
    "agieval": lambda q, a: {
        **{"passage": "A passage.", "question": q, "label": LETTERS[a], "other": None},
        "options": [f"({letter}){text}" for letter, text in zip(LETTERS, TEXTS, strict=True)],
    },
    "dream": lambda q, a: {"dialogue": ["A passage."], "question": q, "choice": TEXTS, "answer": TEXTS[a]},
    "sciq": lambda q, a: {
        **{"question": q, "correct_answer": TEXTS[a], "support": "A passage."},
        **{f"distractor{n}": text for n, text in enumerate(wrong(a), start=1)},
    },
    "gpqa": lambda q, a: {
        **{"Record ID": f"rec{a}", "Question": q, "Correct Answer": TEXTS[a], "Explanation": "It is so."},
        **{f"Incorrect Answer {n}": text for n, text in enumerate(wrong(a), start=1)},
    },
    "medqa": lambda q, a: {
        **{"question": q, "options": dict(zip(LETTERS, TEXTS, strict=True))},
        **{"answer": TEXTS[a], "answer_idx": LETTERS[a]},
    },
    "medmcqa": lambda q, a: {
        **{"question": q, "cop": a, "exp": "It is so.", "choice_type": "single"},
        **{f"op{letter}": text for letter, text in zip("abcd", TEXTS, strict=True)},
    },
    "hellaswag": lambda q, a: {"ind": a, "ctx": q, "endings": TEXTS, "label": str(a)},
    "swag": lambda q, a: {
        **{"startphrase": q, "sent1": q, "label": a},
        **{f"ending{n}": text for n, text in enumerate(TEXTS)},
    },
    "mmlu_redux": lambda q, a: {
        "question": q,
        "choices": TEXTS,
        "answer": a,
        "error_type": "ok",
        "correct_answer": None,
    },
    "global_mmlu": lambda q, a: {
        **{"sample_id": f"x/{a}", "question": q, "answer": LETTERS[a]},
        **{f"option_{letter}": text for letter, text in zip("abcd", TEXTS, strict=True)},
    },
    "kmmlu": lambda q, a: {
        **{"question": q, "answer": a + 1, "Category": "gas", "Human Accuracy": 0.5},
        **dict(zip(LETTERS, TEXTS, strict=True)),
    },
    "qasc_nested": lambda q, a: {
        **{"id": f"x{a}", "question": nested(q), "answerKey": LETTERS[a], "fact1": "A passage.", "fact2": ""},
        **{"combinedfact": "c" * 60, "formatted_question": "f" * 60},
    },
    "aqua": lambda q, a: {
        **{"question": q, "rationale": "It is so.", "correct": LETTERS[a]},
        "options": [f"{letter}){text}" for letter, text in zip(LETTERS, TEXTS, strict=True)],
    },
    "belebele": lambda q, a: {
        **{
            "link": "https://" + "l" * 60,
            "flores_passage": "A passage.",
            "question": q,
            "correct_answer_num": str(a + 1),
        },
        **{f"mc_answer{n}": text for n, text in enumerate(TEXTS, start=1)},
    },
    "reclor": lambda q, a: {
        **{"context": "A passage.", "question": q, "answers": TEXTS, "label": a, "id_string": f"train_{a}"},
    },
    "logiqa": lambda q, a: {"context": "A passage.", "query": q, "options": TEXTS, "correct_option": a},
    "cosmosqa": lambda q, a: {
        **{"id": f"x{a}", "context": "A passage.", "question": q, "label": a},
        **{f"answer{n}": text for n, text in enumerate(TEXTS)},
    },
    "siqa": lambda q, a: {
        **{"context": "A passage.", "question": q, "label": f"{a + 1}"},
        **{f"answer{letter}": text for letter, text in zip("ABC", TEXTS, strict=False)},
    },
    "copa": lambda q, a: {
        **{"premise": "A passage.", "question": q, "label": of_two(a)},
        **{f"choice{n}": text for n, text in enumerate(pair(a), start=1)},
    },
    "piqa": lambda q, a: {
        **{"goal": q, "label": of_two(a)},
        **{f"sol{n}": text for n, text in enumerate(pair(a), start=1)},
    },
    "winogrande": lambda q, a: {
        **{"qID": f"x{a}", "sentence": q, "answer": f"{of_two(a) + 1}"},
        **{f"option{n}": text for n, text in enumerate(pair(a), start=1)},
    },
    "truthfulqa": lambda q, a: {
        "question": q,
        "mc1_targets": {"choices": TEXTS, "labels": [int(place == a) for place in range(4)]},
    },
}
