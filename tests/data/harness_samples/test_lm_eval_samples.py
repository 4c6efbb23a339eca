"""Samples of lm-evaluation-harness: read as the harness meant them, or refused with their lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from llmtuner.data.lm_eval.samples import read_samples
from llmtuner.data.predictions import read_predictions, write_predictions
from llmtuner.errors import DataError, UserError

OPTIONS = [["About 365 days", "30", "a day"], ["Ω", "steam engines", "iron"], ["yes", "no", "it depends"]]
SUMS = [[-9.5, -3.25, -6.0], [-2.0, -13.0, -4.5], [-1.5, -1.25, -30.0]]
ANSWERS = [0, 1, 1]


def first_best(values: list[float]) -> int:
    """As numpy's argmax: the first of equal values."""
    return values.index(max(values))


def sample(row: int, **more: Any) -> dict[str, Any]:
    """A line in the form of version 0.4.13, whose figures follow from its sums."""
    sums, options, answer = SUMS[row], OPTIONS[row], ANSWERS[row]
    by_length = [total / len(text) for total, text in zip(sums, options, strict=True)]
    return {
        "doc_id": row,
        "doc": {"id": f"sci-{row}", "options": options},
        "target": str(answer),
        "arguments": {
            f"gen_args_{place}": {"arg_0": f"Question: {row}\nAnswer:", "arg_1": f" {text}"}
            for place, text in enumerate(options)
        },
        "resps": [[[str(total), "False"]] for total in sums],
        "filtered_resps": [[str(total), "False"] for total in sums],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "acc": float(first_best(sums) == answer),
        "acc_norm": float(first_best(by_length) == answer),
        **more,
    }


def save(path: Path, records: list[Any]) -> Path:
    lines = [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / "samples_exam_2026.jsonl", [sample(row) for row in (2, 0, 1)])


def test_sums_answers_and_ids_are_read_in_the_order_of_the_data_set(file):
    imported = read_samples(file)
    assert [prediction.id for prediction in imported.predictions] == ["sci-0", "sci-1", "sci-2"]
    assert [list(prediction.scores) for prediction in imported.predictions] == SUMS
    assert [prediction.loglikelihood for prediction in imported.predictions] == [tuple(sums) for sums in SUMS]
    assert [prediction.answer for prediction in imported.predictions] == ANSWERS
    assert [list(question.options) for question in imported.questions] == OPTIONS
    assert [question.line for question in imported.questions] == [2, 3, 1]


def test_char_divides_by_code_points_without_the_delimiter(file):
    """Bytes would make Ω twice as long, and the blank before each option would count."""
    imported = read_samples(file, norm="char")
    expected = [
        [total / len(text) for total, text in zip(sums, options, strict=True)]
        for sums, options in zip(SUMS, OPTIONS, strict=True)
    ]
    assert [list(prediction.scores) for prediction in imported.predictions] == expected
    assert [prediction.loglikelihood for prediction in imported.predictions] == [tuple(sums) for sums in SUMS]


def test_an_imported_prediction_is_read_again_as_it_is(file, tmp_path):
    """The sums were dropped, because the harness gives no number of tokens."""
    imported = read_samples(file, norm="char")
    write_predictions(imported.predictions, tmp_path / "out")
    assert read_predictions(tmp_path / "out" / "predictions.jsonl") == imported.predictions
    record = json.loads((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()[0])
    assert record["loglikelihood"] == dict(zip("ABC", SUMS[0], strict=True))
    assert "option_tokens" not in record


def test_older_versions_write_lists_and_numbers(file, tmp_path):
    old = [
        sample(
            row,
            arguments=[[f"Question: {row}\nAnswer:", f" {text}"] for text in OPTIONS[row]],
            filtered_resps=[[total, False] for total in SUMS[row]],
        )
        for row in (2, 0, 1)
    ]
    assert read_samples(save(tmp_path / "samples_exam_2026.jsonl", old)) == read_samples(file)


def test_options_without_a_delimiter_keep_their_blank(tmp_path):
    """A task with an empty delimiter has options that begin with a blank, and acc_norm counts it."""

    def whole(row: int) -> dict[str, Any]:
        by_length = [total / (len(text) + 1) for total, text in zip(SUMS[row], OPTIONS[row], strict=True)]
        return sample(row, acc_norm=float(first_best(by_length) == ANSWERS[row]))

    assert whole(1)["acc_norm"] != sample(1)["acc_norm"], "the blank decides"
    imported = read_samples(save(tmp_path / "s.jsonl", [whole(row) for row in range(3)]), norm="char")
    assert imported.questions[1].options == (" Ω", " steam engines", " iron")


@pytest.mark.parametrize("delimiter", [" ", ""], ids=["now", "older versions"])
def test_unconditional_sums_are_left_out(file, tmp_path, delimiter):
    """acc_mutual_info doubles the requests: three options were read as six, or refused without the delimiter."""
    doubled = []
    for row in (2, 0, 1):
        record = sample(row)
        for place, text in enumerate(OPTIONS[row]):
            record["arguments"][f"gen_args_{3 + place}"] = {"arg_0": "", "arg_1": f"{delimiter}{text}"}
            record["filtered_resps"].append([str(-1.0 - place), "False"])
        doubled.append(record)
    assert read_samples(save(tmp_path / "samples_exam_2026.jsonl", doubled)) == read_samples(file)


def test_a_target_may_be_the_options_text(file, tmp_path):
    texts = [sample(row, target=OPTIONS[row][ANSWERS[row]]) for row in (2, 0, 1)]
    assert read_samples(save(tmp_path / "samples_exam_2026.jsonl", texts)) == read_samples(file)


NUMBERS = ["1", "2", "0"]  # option texts that are numbers of options


def with_numbers(row: int, **more: Any) -> dict[str, Any]:
    arguments = {f"gen_args_{place}": {"arg_0": "?", "arg_1": f" {text}"} for place, text in enumerate(NUMBERS)}
    return sample(row, arguments=arguments, target="1", **more)


@pytest.mark.parametrize("answer", [0, 1])
def test_acc_says_whether_a_target_is_a_number_or_a_text(tmp_path, answer):
    records = [with_numbers(row, acc=float(first_best(SUMS[row]) == answer)) for row in range(3)]
    assert [p.answer for p in read_samples(save(tmp_path / "s.jsonl", records)).predictions] == [answer] * 3


def test_targets_that_nothing_decides_are_refused(tmp_path):
    records = [with_numbers(row) for row in range(3)]
    for record in records:
        del record["acc"], record["acc_norm"]
    with pytest.raises(DataError, match="can be numbers of options and their texts"):
        read_samples(save(tmp_path / "s.jsonl", records))


def test_without_ids_the_row_number_is_the_id(tmp_path):
    """So the rows join with this project's predictions of the same file."""
    records = [sample(row, doc={"id": "x"} if row else {}) for row in range(3)]
    assert [p.id for p in read_samples(save(tmp_path / "s.jsonl", records)).predictions] == ["0", "1", "2"]


def test_a_column_for_the_ids_can_be_named(tmp_path):
    path = save(tmp_path / "s.jsonl", [sample(row, doc={"id": "same", "ind": row + 7}) for row in range(3)])
    with pytest.raises(DataError, match=r"s\.jsonl:2: id 'same' is also in line 1; choose another column, or --id doc"):
        read_samples(path)
    assert [p.id for p in read_samples(path, id_column="ind").predictions] == ["7", "8", "9"]
    assert [p.id for p in read_samples(path, id_column="doc_id").predictions] == ["0", "1", "2"]
    with pytest.raises(DataError, match="doc has no name"):
        read_samples(path, id_column="name")


@pytest.mark.parametrize("name", ["=1+1", "-x", "@a"])
def test_an_id_that_a_spreadsheet_would_run_is_refused(tmp_path, name):
    """Questions with such an id are refused, and the submission of a harness run had one."""
    path = save(tmp_path / "s.jsonl", [sample(row, doc={"id": name if row == 1 else f"-{row}"}) for row in range(3)])
    with pytest.raises(DataError, match=r"s\.jsonl:2: id .* would run as a formula .*; choose another column"):
        read_samples(path)
    assert len(read_samples(path, id_column="doc_id").predictions) == 3


def test_an_option_of_probability_zero_ranks_last(tmp_path):
    records = [sample(row) for row in range(3)]
    records[0]["filtered_resps"][2] = ["-inf", "False"]
    assert read_samples(save(tmp_path / "s.jsonl", records)).predictions[0].scores == (-9.5, -3.25, -math.inf)


def without(row: int, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in sample(row).items() if key not in keys}


GENERATED = {"gen_args_0": {"arg_0": "Question", "arg_1": {"max_gen_toks": 2}}}
ELEVEN = {f"gen_args_{place}": {"arg_0": "Q", "arg_1": f" {place}"} for place in range(11)}
WINOGRANDE = {f"gen_args_{place}": {"arg_0": f"Q {place}", "arg_1": " same"} for place in range(3)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"doc_id": 1, "doc', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected a sample of a multiple_choice task"),
        (without(1, "target", "arguments"), "no target, arguments; expected a sample"),
        (without(1, "filtered_resps"), "no filtered_resps"),
        (sample(1, doc_id="1"), "doc_id '1'; expected a row number"),
        (sample(1, doc_id=True), "doc_id True; expected a row number"),
        (sample(1, doc_id=0), "doc_id 0 is also in line 1"),
        (sample(1, arguments=GENERATED, filtered_resps=["yes"]), "not of a multiple_choice task"),
        (sample(1, arguments={}), "arguments {}"),
        (sample(1, arguments={"a": 1}), "not of a multiple_choice task"),
        (sample(1, filtered_resps=[["-1.0", "False"]] * 2), "3 arguments, but 2 filtered_resps"),
        (sample(1, filtered_resps=[["nan", "False"]] * 3), "expected [log-probability, is_greedy]"),
        (sample(1, filtered_resps=[["inf", "False"]] * 3), "expected [log-probability, is_greedy]"),
        (sample(1, filtered_resps=[[10**400, False]] * 3), "expected [log-probability, is_greedy]"),
        (sample(1, filtered_resps=[[None, False]] * 3), "expected [log-probability, is_greedy]"),
        (sample(1, filtered_resps=["-1.0"] * 3), "expected [log-probability, is_greedy]"),
        (sample(1, filtered_resps="-1.0"), "filtered_resps '-1.0'"),
        (sample(1, filtered_resps=[["-inf", "False"]] * 3), "no option has a finite log-probability"),
        (sample(1, arguments=ELEVEN, filtered_resps=[["-1", "False"]] * 11), "11 options; expected 2 to 10"),
        (sample(1, arguments=WINOGRANDE), "the options differ in their context"),
        (sample(1, target="[0, 1]"), "target '[0, 1]'; expected the number (from 0) or the text of one right"),
        (sample(1, target="3"), "target '3'; expected the number"),
        (sample(1, target=[1]), "target [1]; expected the number or the text of one right option"),
        (sample(1, acc=1.0), "acc is 1.0, but log-probabilities and target give 0"),
        (sample(1, acc=0.43), "acc is 0.43, but log-probabilities and target give 0"),
        (sample(1, acc=10**400), "acc is 1000"),
    ],
)
def test_lines_that_are_no_such_samples_are_named(tmp_path, line, message):
    path = save(tmp_path / "s.jsonl", [sample(0), "", line, sample(2)])
    with pytest.raises(DataError) as raised:
        read_samples(path)
    assert message in str(raised.value)
    assert f"{path}:3: " in str(raised.value)
    assert str(raised.value).isprintable()


def test_all_wrong_lines_come_in_one_message(tmp_path):
    path = save(tmp_path / "s.jsonl", ["{", sample(0), sample(0), without(1, "doc")])
    with pytest.raises(DataError) as raised:
        read_samples(path)
    lines = str(raised.value).splitlines()
    assert lines[0] == "3 problems:"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [f"{path}:{number}" for number in (1, 3, 4)]


def test_an_acc_norm_of_another_length_is_refused_for_char_only(tmp_path):
    path = save(tmp_path / "s.jsonl", [sample(row, acc_norm=0.0) for row in range(3)])
    assert len(read_samples(path).predictions) == 3
    with pytest.raises(DataError, match=r"s\.jsonl:2: acc_norm is 0.0, but log-probabilities and target give 1"):
        read_samples(path, norm="char")


def test_options_without_a_text_have_no_score_per_character(tmp_path):
    arguments = {f"gen_args_{place}": {"arg_0": "Q", "arg_1": text} for place, text in enumerate([" ", " a", " b"])}
    records = [without(0, "acc", "acc_norm") | {"arguments": arguments}]
    path = save(tmp_path / "s.jsonl", records)
    assert read_samples(path, norm="char").predictions[0].scores == (-math.inf, -3.25, -6.0)
    for each in arguments.values():
        each["arg_1"] = " "
    with pytest.raises(DataError, match="no option has a text"):
        read_samples(save(path, records), norm="char")


def test_other_norms_are_refused(file):
    with pytest.raises(UserError, match="norm bytes: unknown value; choose from: sum, char"):
        read_samples(file, norm="bytes")


@pytest.mark.parametrize("content", ["\n\n", ""])
def test_a_file_without_samples_is_refused(tmp_path, content):
    path = tmp_path / "s.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"s\.jsonl"):
        read_samples(path)
