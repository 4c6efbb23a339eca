"""Texts and columns of the predicted questions: joined by id, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_files import predictions, questions, write_questions

from llmtuner.data.duplicates import question_digest
from llmtuner.data.load import read_questions
from llmtuner.data.predictions import Prediction
from llmtuner.errors import UserError
from llmtuner.report.run_report.texts import join_texts


def test_rows_are_joined_by_id_whatever_their_order(tmp_path):
    records = questions(12)
    path = write_questions(tmp_path / "q.jsonl", list(reversed(records)))
    joined = join_texts(predictions(records), [str(path)])
    assert [text.question.question for text in joined.texts] == [record["prompt"] for record in records]
    assert [text.values["subject"] for text in joined.texts] == [record["subject"] for record in records]
    assert joined.texts[0].values["useful"] == "true"
    assert joined.columns == ("subject", "useful")


def test_an_id_is_text(tmp_path):
    """The rows 1 and 01 were taken for one."""
    records = [record | {"id": name} for record, name in zip(questions(2), ("1", "01"), strict=True)]
    path = write_questions(tmp_path / "q.jsonl", records)
    joined = join_texts(list(reversed(predictions(records))), [str(path)])
    assert [text.question.id for text in joined.texts] == ["01", "1"]


def test_only_columns_with_few_short_values_sort_questions(tmp_path):
    """An explanation, an id of the passage, or a list is not a group of questions."""
    records = [
        record
        | {"explanation": "because " * 20, "passage_id": f"p{number}", "tags": ["a"], "year": float(2000 + number % 2)}
        | {"constant": "x", "blank": None}
        for number, record in enumerate(questions(12))
    ]
    joined = join_texts(predictions(records), [str(write_questions(tmp_path / "q.jsonl", records))])
    assert joined.columns == ("subject", "useful", "year")
    assert joined.texts[1].values["year"] == "2001"


def test_repeated_ids_are_joined_by_their_order_or_refused(tmp_path):
    records = [record | {"id": "same"} for record in questions(3)]
    path = str(write_questions(tmp_path / "q.jsonl", records))
    made = predictions(records)
    assert [t.question.question for t in join_texts(made, [path]).texts] == [r["prompt"] for r in records]
    with pytest.raises(UserError, match="repeats id 'same'"):
        join_texts(made[:2], [path])


def test_the_wrong_file_is_refused_with_the_ids(tmp_path):
    records = questions(4)
    made = predictions(records)
    wrong_answer = "A" if records[2]["answer"] != "A" else "B"
    for name, rows, message in (
        ("part", records[:3], "lacks .* 'q3'"),
        ("none", [record | {"id": f"x{record['id']}"} for record in records], "lacks|none of"),
        ("answer", [*records[:2], records[2] | {"answer": wrong_answer}, records[3]], "another answer .* 'q2'"),
        ("options", [record | {"F": "f"} for record in records], "another number of options .* 'q0'"),
    ):
        path = write_questions(tmp_path / f"{name}.jsonl", rows)
        with pytest.raises(UserError, match=message):
            join_texts(made, [str(path)])


def test_several_data_sets_take_the_file_of_their_name(tmp_path):
    """Both sets have the ids q0, q1, ...; the texts of one were shown with the answers of the other."""
    first, second = questions(3, seed=1), questions(3, seed=2)
    paths = [str(write_questions(tmp_path / name, rows)) for name, rows in (("a.jsonl", first), ("b.jsonl", second))]
    made = [*predictions(second, dataset=paths[1]), *predictions(first, dataset=paths[0])]
    joined = join_texts(made, paths)
    assert [t.question.question for t in joined.texts] == [r["prompt"] for r in [*second, *first]]
    unnamed = [Prediction(p.id, p.scores, p.answer, "elsewhere") for p in made[:3]]
    with pytest.raises(UserError, match="both have ids of the data set"):
        join_texts(unnamed, paths)


def test_a_set_without_a_file_has_no_texts(tmp_path):
    first, second = questions(3, seed=1), [r | {"id": f"other {r['id']}"} for r in questions(3, seed=2)]
    path = str(write_questions(tmp_path / "a.jsonl", first))
    made = [*predictions(first, dataset=path), *predictions(second, dataset="b")]
    assert [text is None for text in join_texts(made, [path]).texts] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("query", ["", "?prompt=prompt&answer=answer"])
def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path, query):
    """Every question had the text of the file that was named last, and nothing was said; or both were refused."""
    records = {part: [record | {"id": f"{part}{n}"} for n, record in enumerate(questions(3))] for part in "ab"}
    same_ids = [[record | {"prompt": f"{part} {record['prompt']}"} for record in questions(3)] for part in "cd"]
    for first, second in (list(records.values()), same_ids):
        paths = []
        for folder, rows in (("one", first), ("two", second)):
            (tmp_path / folder).mkdir(exist_ok=True)
            paths.append(str(write_questions(tmp_path / folder / "test.jsonl", rows)))
        made = [*predictions(first, dataset=paths[0]), *predictions(second, dataset=paths[1])]
        for names in (paths, paths[::-1]):
            joined = join_texts(made, [name + query for name in names])
            assert [t.question.question for t in joined.texts] == [r["prompt"] for r in [*first, *second]]


def test_a_file_that_was_moved_is_known_by_its_name(tmp_path):
    records = questions(3)
    path = str(write_questions(tmp_path / "test.jsonl", records))
    assert all(join_texts(predictions(records, dataset="elsewhere/test.jsonl"), [path]).texts)


def test_a_file_that_is_named_in_two_ways_is_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = questions(3)
    write_questions(tmp_path / "test.jsonl", records)
    assert all(join_texts(predictions(records, dataset="test.jsonl"), ["test.jsonl", "./test.jsonl"]).texts)


def test_a_file_of_other_questions_with_equal_ids_is_refused(tmp_path):
    """Predictions without answers were scored by the answers of another exam, whose rows have the same numbers."""
    records = questions(3)
    path = write_questions(tmp_path / "q.jsonl", records)
    digests = [question_digest(question) for question in read_questions(path, purpose="predict").questions]
    made = [replace(p, digest=d) for p, d in zip(predictions(records, answers=False), digests, strict=True)]
    assert join_texts(made, [str(path)])
    with_contexts = write_questions(tmp_path / "c.jsonl", [record | {"context": "Another."} for record in records])
    assert join_texts(made, [str(with_contexts)]), "the context does not count"
    other = write_questions(tmp_path / "o.jsonl", [*records[:2], records[2] | {"prompt": "Something else?"}])
    with pytest.raises(UserError, match=r"another question, or another order of options, than .* id 'q2'; give the"):
        join_texts(made, [str(other)])
