"""Excel workbooks: texts as the sheet shows them, what Excel changes, and workbooks that are unsafe or incomplete."""

from __future__ import annotations

import datetime
import io
import random
import re
import sys
import zipfile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from llmtuner.data.load import inspect_questions, read_questions
from llmtuner.data.readers import xlsx_file
from llmtuner.data.readers.xlsx_file import read
from llmtuner.errors import DataError

HEADER = ["id", "prompt", "A", "B", "answer"]
ROW = [1, "W?", "a", "b", "A"]


def write(path, *rows, book=None):
    book = book or openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    return str(error.value)


def rebuilt(content: bytes, changes: dict[str, bytes]) -> bytes:
    """A workbook with parts replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, changes.get(name, source.read(name)))
    return out.getvalue()


def test_cells_are_read_as_the_sheet_shows_them(tmp_path):
    """pandas reads 5 as 5.0, 0.10 as 0.1, 12.5 % as 0.125 and TRUE as True."""
    book = openpyxl.Workbook()
    book.active.append([*HEADER, "n", "d", "p", "t", "e"])
    book.active.append([*ROW, 5, 0.1, 0.125, True, None])
    book.active["G2"].number_format = "0.00"
    book.active["H2"].number_format = "0.0%"
    [(line, record)] = read(write(tmp_path / "exam.xlsx", book=book)).records
    assert (line, record["id"], record["n"], record["d"], record["p"]) == (2, "1", "5", "0.10", "12.5%")
    assert (record["t"], record["e"]) == ("TRUE", "")


def test_an_option_that_became_a_date_is_named(tmp_path):
    """Excel makes 2 January of 1-2."""
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active.append(ROW)
    book.active.append([2, "Which ratio?", datetime.datetime(2024, 1, 2), "1-3", "A"])
    book.active["C3"].number_format = "d-mmm"
    reading = read_questions(write(tmp_path / "exam.xlsx", book=book), purpose="train")
    assert reading.questions[1].options == ("2-Jan", "1-3")
    [warning] = reading.warnings
    assert warning.line == 3
    assert "column 'A' holds a date, shown as '2-Jan'" in str(warning)
    assert "format the column as text" in str(warning)


def test_the_advice_for_dates_works(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active.append([1, "Which ratio?", "1-2", "1-3", "A"])
    book.active["C2"].number_format = "@"
    reading = read_questions(write(tmp_path / "exam.xlsx", book=book), purpose="train")
    assert (reading.questions[0].options, reading.warnings) == (("1-2", "1-3"), ())


def test_a_number_that_is_shown_rounded_is_named(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for number in (1 / 3, 2 / 3):
        book.active.append([1, "W?", number, "b", "A"])
        book.active.cell(book.active.max_row, 3).number_format = "0.00"
    reading = inspect_questions(write(tmp_path / "exam.xlsx", book=book))
    [warning] = [each for each in reading.warnings if each.kind == "rounded"]
    assert "cell C2 is read as the sheet shows it, '0.33'" in str(warning)
    assert "1 more in the column" in str(warning)


def test_the_first_visible_sheet_with_rows_is_read_and_the_others_are_named(tmp_path):
    book = openpyxl.Workbook()
    hidden = book.create_sheet("Draft", 0)
    hidden.append(["draft"])
    hidden.sheet_state = "hidden"
    exam = book.create_sheet("Exam")
    exam.append(HEADER)
    exam.append(ROW)
    book.create_sheet("Old").append(["old"])
    book.save(tmp_path / "exam.xlsx")
    reading = read_questions(tmp_path / "exam.xlsx", purpose="train")
    assert len(reading.questions) == 1
    [warning] = reading.warnings
    assert "read is the sheet 'Exam'; not 'Old', 'Draft'" in str(warning)


def test_a_formula_without_a_stored_result_is_named_and_not_blank(tmp_path):
    """Programs other than Excel store formulas alone; the cell reads as empty then."""
    path = write(tmp_path / "exam.xlsx", HEADER, [1, "W?", "=1+1", "b", "A"], [2, "V?", "a", "b", "A"])
    assert "exam.xlsx:2: cell C2 is a formula whose result is not stored" in refusal(path)


def test_a_stored_result_is_read(tmp_path):
    path = write(tmp_path / "exam.xlsx", HEADER, [1, "W?", "=1+1", "b", "A"])
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b"<f>1+1</f><v" in sheet
    sheet = sheet.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>").replace(
        b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>"
    )
    path.write_bytes(rebuilt(path.read_bytes(), {"xl/worksheets/sheet1.xml": sheet}))
    assert read_questions(path, purpose="train").questions[0].options == ("2", "b")


def test_an_error_cell_is_no_text(tmp_path):
    path = write(tmp_path / "exam.xlsx", HEADER, [1, "W?", "#DIV/0!", "b", "A"])
    assert "cell C2 shows the error '#DIV/0!'" in refusal(path)


def test_blank_rows_and_columns_are_skipped_and_rows_keep_their_numbers(tmp_path):
    book = openpyxl.Workbook()
    for line, row in {2: ["id", "prompt", None, "A", "B", "answer"], 5: [1, "W?", None, "a", "b", "A"]}.items():
        for column, text in enumerate(row, start=1):
            book.active.cell(line, column, text)
    book.active.cell(9, 9).number_format = "0.00"  # a blank cell that only has a format
    [question] = read_questions(write(tmp_path / "exam.xlsx", book=book), purpose="train").questions
    assert (question.line, question.options) == (5, ("a", "b"))


def test_a_title_above_the_names_is_named(tmp_path):
    message = refusal(write(tmp_path / "exam.xlsx", ["Exam 2024"], [], HEADER, ROW))
    assert "exam.xlsx:1: 'Exam 2024' is a title" in message
    assert "in row 3" in message
    assert "delete row 1" in message


def test_a_size_that_a_program_stored_wrongly_hides_no_row(tmp_path):
    path = write(tmp_path / "exam.xlsx", HEADER, *([number, "W?", "a", "b", "A"] for number in range(9)))
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    path.write_bytes(rebuilt(path.read_bytes(), {"xl/worksheets/sheet1.xml": sheet.replace(b"A1:E10", b"A1:E2")}))
    assert len(read_questions(path, purpose="train").questions) == 9


def test_without_openpyxl_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    path = write(tmp_path / "exam.xlsx", HEADER, ROW)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install openpyxl" in refusal(path)


def test_a_workbook_that_expands_too_far(tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx_file, "LIMIT", 2**16)
    path = write(tmp_path / "exam.xlsx", HEADER, *[[1, "x" * 2**14, "a", "b", "A"]] * 9)
    assert path.stat().st_size < 2**15
    assert "expands to more than" in refusal(path)


@pytest.mark.parametrize("row", [b"1048577", b"99999999999"])
def test_a_row_number_beyond_the_end_of_a_sheet(tmp_path, row):
    """openpyxl would give a blank row for each number before it."""
    path = write(tmp_path / "exam.xlsx", HEADER, ROW)
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    sheet = sheet.replace(b'<row r="2"', b'<row r="%s"' % row)
    path.write_bytes(rebuilt(path.read_bytes(), {"xl/worksheets/sheet1.xml": sheet}))
    assert "more than 1,048,576 rows" in refusal(path)


def test_an_entity_is_not_expanded(tmp_path):
    """An entity may name a file of this machine, or grow without limit."""
    path = write(tmp_path / "exam.xlsx", HEADER, ROW)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if b"W?" in archive.read(name))
        part = archive.read(name)
    body = part[part.index(b"<sst" if b"<sst" in part else b"<worksheet") :].replace(b"W?", b"&secret;")
    evil = b'<!DOCTYPE sst [<!ENTITY secret "expanded">]>' + body
    path.write_bytes(rebuilt(path.read_bytes(), {name: evil}))
    assert "is no complete Excel workbook" in refusal(path)


def test_a_workbook_by_another_name_reads_after_the_advice(tmp_path):
    path = write(tmp_path / "exam.csv", HEADER, ROW)
    assert refusal(path).endswith("is an Excel workbook, not CSV; rename it to .xlsx")
    assert len(read_questions(path.rename(tmp_path / "exam.xlsx"), purpose="train").questions) == 1


def test_an_old_workbook_is_named(tmp_path):
    (tmp_path / "exam.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100)
    assert "an Excel workbook of the old kind (.xls), or one with a password" in refusal(tmp_path / "exam.xlsx")


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=40)
@given(texts=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5))
def test_texts_come_back_unchanged(tmp_path_factory, texts):
    book = openpyxl.Workbook()
    book.active.append(["prompt", "A", "B"])
    for row in texts:
        book.active.append(row)
        for cell in book.active[book.active.max_row]:
            cell.data_type = "s"  # "=1" and "#N/A" are texts here
    path = write(tmp_path_factory.mktemp("book") / "exam.xlsx", book=book)
    assert [tuple(record.values()) for _, record in read(path).records] == texts


def test_damage_anywhere_is_a_data_error_or_harmless(tmp_path):
    """Of openpyxl's parts, each fails in its own way: KeyError, TypeError, BadZipFile, ParseError ..."""
    path = write(tmp_path / "exam.xlsx", HEADER, *([number, "W?", 0.5, "b", "A"] for number in range(9)))
    intact, place = path.read_bytes(), random.Random(0)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name.endswith((".xml", ".rels"))}
    refused = 0
    for turn in range(300):
        if turn % 2:  # a part is damaged, and the archive around it is not
            name = place.choice(list(parts))
            part = bytearray(parts[name])
            for _ in range(3):
                part[place.randrange(len(part))] = place.randrange(32, 127)
            content = rebuilt(intact, {name: bytes(part)})
        else:
            flipped = bytearray(intact)
            flipped[place.randrange(len(flipped))] = place.randrange(256)
            content = bytes(flipped[: place.choice([len(flipped), place.randrange(1, len(flipped))])])
        path.write_bytes(content)
        try:
            read_questions(path, purpose="train")
        except DataError:
            refused += 1
    assert refused > 100


def with_format(place, *texts):
    """A cell whose second text is raised or lowered."""
    return CellRichText([texts[0], TextBlock(InlineFont(vertAlign=place), texts[1]), *texts[2:]])


@pytest.mark.parametrize("shared", [False, True])
def test_raised_and_lowered_characters_stay_so(tmp_path, shared):
    """10² was read as 102, and H₂O as H2O, without a word."""
    options = [with_format("superscript", "10", "-12", " m"), with_format("subscript", "H", "2", "O")]
    path = write(tmp_path / "exam.xlsx", HEADER, [1, "Which?", *options, "A"])
    if shared:  # as Excel stores it; openpyxl writes texts into the cells
        path.write_bytes(with_shared_strings(path.read_bytes()))
    reading = read_questions(path, purpose="train")
    assert reading.questions[0].options == ("10⁻¹² m", "H₂O")
    assert reading.warnings == ()


def test_a_raised_text_that_unicode_cannot_write_is_named(tmp_path):
    rows = [[row, "Which?", with_format("superscript", "x", "<q>"), "b", "A"] for row in (1, 2)]
    reading = read_questions(write(tmp_path / "exam.xlsx", HEADER, *rows), purpose="train")
    assert reading.questions[0].options == ("x<q>", "b")
    [warning] = reading.warnings
    assert "cell C2 has raised or lowered text" in str(warning)
    assert "(and 1 more in the column)" in str(warning)


def with_shared_strings(content: bytes) -> bytes:
    """A workbook with the texts of its cells in a part of their own."""
    sheet_name, types_name, name = "xl/worksheets/sheet1.xml", "[Content_Types].xml", "xl/sharedStrings.xml"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet, types = archive.read(sheet_name).decode(), archive.read(types_name).decode()
    texts = re.findall(r"<is>(.*?)</is>", sheet)
    numbers = iter(range(len(texts)))
    sheet = re.sub(r"<is>.*?</is>", lambda _: f"<v>{next(numbers)}</v>", sheet).replace('t="inlineStr"', 't="s"')
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    types = types.replace("</Types>", f'<Override PartName="/{name}" ContentType="{kind}"/></Types>')
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strings = f'<sst xmlns="{space}">' + "".join(f"<si>{text}</si>" for text in texts) + "</sst>"
    out = io.BytesIO(rebuilt(content, {sheet_name: sheet.encode(), types_name: types.encode()}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, strings)
    return out.getvalue()


def test_a_formula_whose_result_is_blank_is_a_blank_cell(tmp_path):
    """It was refused: "a formula whose result is not stored". Excel stores =IF(1=1,"","z") so."""
    path = write(tmp_path / "exam.xlsx", [*HEADER, "context"], [*ROW, '=IF(1=1,"","z")'])
    name = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read(name).decode()
    stored = re.sub(r'<c r="F2"[^>]*>(<f>.*?</f>)<v ?/>', r'<c r="F2" t="str">\1<v></v>', sheet)
    assert stored != sheet
    path.write_bytes(rebuilt(path.read_bytes(), {name: stored.encode()}))
    assert read_questions(path, purpose="train").questions[0].context == ""


def merged(path, *ranges, rows=4):
    """A workbook with a passage, in column B, and rows 2, 3, ... of questions."""
    book = openpyxl.Workbook()
    book.active.append(["prompt", "context", "A", "B", "answer"])
    for row in range(rows):
        book.active.append([f"W{row}?", f"passage {row}", "a", "b", "AB"[row % 2]])
    for each in ranges:
        book.active.merge_cells(each)
    book.save(path)
    return path


def test_cells_that_are_merged_over_several_rows_belong_to_each_of_them(tmp_path):
    """A passage over its questions was that of the first one, and the others had none, in silence."""
    result = read_questions(merged(tmp_path / "m.xlsx", "B2:B3", "E4:E5"), purpose="train")
    assert [each.context for each in result.questions] == ["passage 0", "passage 0", "passage 2", "passage 3"]
    assert [each.answer for each in result.questions] == [0, 1, 0, 0]
    (warning,) = result.warnings
    assert "m.xlsx:2: merged cells: each of their rows has the text ('B2:B3', 'E4:E5')" in str(warning)
    assert read_questions(merged(tmp_path / "plain.xlsx"), purpose="train").warnings == ()
    assert read_questions(merged(tmp_path / "blank.xlsx", "G2:G3"), purpose="train").warnings == ()


def test_a_merged_column_fills_rows_that_are_not_blank(tmp_path):
    path = merged(tmp_path / "m.xlsx", "B2:B1048576")
    assert [each.context for each in read_questions(path, purpose="train").questions] == ["passage 0"] * 4


def test_cells_that_are_merged_within_a_row_are_blank_but_for_the_first(tmp_path):
    records = read(merged(tmp_path / "m.xlsx", "B3:C3")).records
    assert (records[1][1]["context"], records[1][1]["A"]) == ("passage 1", "")


def test_a_header_of_two_rows_is_no_question(tmp_path):
    path = merged(tmp_path / "m.xlsx", "A1:A2")
    records = read(path).records
    assert records[0][1]["prompt"] == ""
