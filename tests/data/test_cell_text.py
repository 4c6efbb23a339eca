"""Numbers, percentages, dates and truth values as a spreadsheet shows them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtuner.data.readers.cell_text import shown

DAY = datetime.datetime(2024, 1, 2, 13, 5, 9)


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (5, "General", "5"),
        (5.0, "General", "5"),
        (0.1 + 0.2, "General", "0.3"),
        (1 / 3, "General", "0.333333333"),
        (3.14159265358979, "General", "3.141592654"),
        (0.00001, "General", "0.00001"),
        (1.5e-10, "General", "1.5E-10"),
        (6.02214076e23, "General", "6.02214E+23"),
        (202401010001, "General", "202401010001"),  # an id: 2.02401E+11 would be that of many rows
        (-2.5, "General", "-2.5"),
        (0, "General", "0"),
        (0.1, "0.00", "0.10"),
        (2.675, "0.00", "2.68"),
        (7, "000", "007"),
        (1234567.891, "#,##0.00", "1,234,567.89"),
        (0.125, "0.0%", "12.5%"),
        (0.5, "0%", "50%"),
        (0.25, "0.0#", "0.25"),
        (0.2, "0.0#", "0.2"),
        (-3, "0;(0)", "(3)"),
        (-3, "0.0", "-3.0"),
        (0, '0;-0;"none"', "none"),
        (6.02214076e23, "0.00E+00", "6.02E+23"),
        (0.00012, "0.0E+0", "1.2E-4"),
        (9.996, "0.00E+00", "1.00E+01"),
        (12.5, '0.0 "kg"', "12.5 kg"),
        (12.5, "[$€-407]#,##0.00", "€12.50"),
        (12.5, "[Red]0.0", "12.5"),
        (1234, "0,", "1"),
        (1_500_000, '0.0,,"M"', "1.5M"),
        (5551234, "000-0000", "555-1234"),
        (123456789, "000-00-0000", "123-45-6789"),
        (12345678901, "000-0000", "1234567-8901"),  # the first place takes what is left over
        (12, "000-0000", "000-0012"),
        (3.14, '0.0"~"0', "3.1~4"),
        (5551234567, "[<=9999999]###-####;(###) ###-####", "(555) 123-4567"),
        (5551234, "[<=9999999]###-####;(###) ###-####", "555-1234"),
        (12, "[<10]0.0;0", "12"),
        (7, "[<10]0.0;0", "7.0"),
        (1, '[=1]0" day";0" days"', "1 day"),
        (25, 'General"°C"', "25°C"),
        (-25, 'General"°C"', "-25°C"),
        (-5, "General;(General)", "(5)"),
        (-0.05, "[Green][>0]+0%;[Red][<0]-0%;0%", "-5%"),  # a part for negative numbers alone has the sign
        (-5, "[>0]0.0;[<0](0.0);0.0", "(5.0)"),
        (-3, '[<0]"minus "0;0', "minus 3"),
        (-3, '[<100]0"!";0', "-3!"),
        (-3, "[<>0]0;0", "-3"),
        (-3, "[>-5]0;0", "-3"),
        (0.5, "# ?/?", "1/2"),
        (1.75, "# ?/?", "1 3/4"),
        (1.5, "@", "1.5"),
        (True, "General", "TRUE"),
        (False, "0.00", "FALSE"),
        (DAY, "d-mmm", "2-Jan"),
        (DAY, "yyyy\\-mm\\-dd", "2024-01-02"),
        (DAY, "m/d/yy h:mm AM/PM", "1/2/24 1:05 PM"),
        (DAY, "h:mm:ss", "13:05:09"),
        (DAY, "mm:ss", "05:09"),
        (DAY, "[$-409]dddd, mmmm dd, yyyy", "Tuesday, January 02, 2024"),
        (DAY.time(), "hh:mm", "13:05"),
        (datetime.timedelta(hours=25, minutes=3), "[h]:mm:ss", "25:03:00"),
        ("None", "General", "None"),
        ("a_x000D_b", "General", "a\rb"),
    ],
)
def test_a_cell_is_the_text_that_the_sheet_shows(value, number_format, text):
    assert shown(value, number_format).text == text


@pytest.mark.parametrize(
    ("value", "number_format", "rounded"),
    [(1 / 3, "General", False), (0.1, "0.0", False), (0.1, "0.00", False), (1 / 3, "0.00", True), (0.125, "0%", True)],
)
def test_a_number_with_fewer_digits_than_are_stored_is_marked(value, number_format, rounded):
    assert shown(value, number_format).rounded == rounded


@given(st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1))
def test_whole_numbers_are_never_shortened(number):
    assert shown(number, "General").text == shown(float(number), "General").text == str(number)


@given(
    st.one_of(st.floats(), st.integers(min_value=-(10**300), max_value=10**300)),
    st.one_of(
        st.text('0#?.,%E+-/;"@[]\\ _*$kdmyhs', max_size=12), st.sampled_from(["General", "0.00", "# ?/?", "0E+0"])
    ),
)
def test_any_number_in_any_format_has_a_text(value, number_format):
    assert isinstance(shown(value, number_format).text, str)


@given(st.one_of(st.datetimes(), st.dates(), st.times(), st.timedeltas()), st.text('dmyhs/:.-0[]AMP"\\ ', max_size=12))
def test_any_date_in_any_format_has_a_text(value, number_format):
    assert isinstance(shown(value, number_format).text, str)
