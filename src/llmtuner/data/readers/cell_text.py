"""Cells of a spreadsheet as the sheet shows them: numbers, percentages, dates and truth values by their format."""

from __future__ import annotations

import datetime
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

_CLOSE = Decimal("1e-8")  # a relative difference that only comes from binary fractions and Excel's ten digits
_WIDTH = 11  # characters of a number in the format General
_DIGITS = 1000  # more than the longest number has in any format
_LONGEST = 15  # digits of a whole number that Excel stores
_CONTROL = re.compile(r"_x00([01][0-9A-Fa-f])_")  # how XML spells control characters of a text
_PLACE, _POINT = "\0", "\1"  # of a digit and of the decimal point, among literals that may hold any other character
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)(-?\d+(?:\.\d+)?)\]")
_COMPARED: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[(?P<bracket>[^\]]*)\]|_.|\*.|(?P<general>General)|(?P<slot>[0#?.,/%]+|E[+-]0+)'
    r"|(?P<literal>.)",
    flags=re.DOTALL | re.IGNORECASE,
)
_DATE_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|(?P<elapsed>\[[hms]+\])|\[[^\]]*\]|_.|\*.|(?P<half>AM/PM|A/P)'
    r"|(?P<part>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<literal>.)",
    flags=re.DOTALL | re.IGNORECASE,
)
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell's text, and whether it is a number with fewer digits than are stored."""

    text: str
    rounded: bool = False


def shown(value: Any, number_format: str) -> Shown:
    """The text of a cell.

    Args:
        value: as openpyxl reads it: text, truth value, number, or a value of `datetime`.
        number_format: Excel's, such as "0.00" or "d-mmm".
    """
    if isinstance(value, bool):
        return Shown("TRUE" if value else "FALSE")
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return Shown(_date(value, number_format))
    return Shown(_CONTROL.sub(lambda match: chr(int(match[1], 16)), str(value)))


def _number(value: int | float, number_format: str) -> Shown:
    if not math.isfinite(value):
        return Shown(str(value))
    with localcontext(prec=_DIGITS):
        return _formatted(value, number_format)


def _formatted(value: int | float, number_format: str) -> Shown:
    exact = Decimal(repr(value))
    section, shows_sign = _section_for(exact, _sections(number_format))
    sign = "-" if exact < 0 and not shows_sign else ""
    tokens = [match for match in _TOKEN.finditer(section) if match[0]]
    general = next((place for place, match in enumerate(tokens) if match["general"]), None)
    if general is not None:
        number = _general(abs(value))
        before, after = (_literals(part) for part in (tokens[:general], tokens[general + 1 :]))
        return Shown((sign + before + number.text + after).strip(), number.rounded)
    if not any(map(_takes_digits, tokens)):  # a text in place of the number, or none at all
        literal = _literals(tokens).strip()
        return Shown(literal, rounded=True) if literal.strip("@") else _general(value)
    text, read_back = _filled(abs(exact), tokens)
    rounded = read_back is None or abs(read_back - abs(exact)) > _CLOSE * abs(exact)
    return Shown((sign if re.search("[1-9]", text) else "") + text, rounded)


def _section_for(value: Decimal, sections: list[str]) -> tuple[str, bool]:
    """The part of a format that a number has, and whether this part shows the sign itself."""
    conditions = [_CONDITION.search(section) for section in sections]
    if any(conditions):  # the first that holds; a part without one is for the rest
        for section, condition in zip(sections, conditions, strict=True):
            if condition is None:
                return section, False
            compared, limit = condition[1], Decimal(condition[2])
            if _COMPARED[compared](value, limit):  # a part for negative numbers alone shows the sign itself
                negative = limit <= 0 if compared in ("<", "<=") else compared == "=" and limit < 0
                return section, negative
        return "General", False
    if len(sections) > 1 and value < 0:
        return sections[1], True
    if len(sections) > 2 and value == 0:
        return sections[2], False
    return sections[0], False


def _takes_digits(token: re.Match[str]) -> bool:
    return token["slot"] is not None and re.search("[0#?]", token["slot"]) is not None


def _literals(tokens: Iterable[re.Match[str]]) -> str:
    """What tokens show beside digits."""
    return "".join(map(_literal, tokens))


def _literal(token: re.Match[str]) -> str:
    if token["slot"] is not None:
        return "%" * token["slot"].count("%")
    return token["quoted"] or token["escaped"] or _currency(token["bracket"]) or token["literal"] or ""


@lru_cache(maxsize=256)
def _sections(number_format: str) -> list[str]:
    """The parts of a format for positive, negative and zero, split at semicolons outside quotes."""
    parts = [""]
    for match in re.finditer(r'"[^"]*"|\\.|.', number_format, flags=re.DOTALL):
        if match[0] == ";":
            parts.append("")
        else:
            parts[-1] += match[0]
    return parts


def _filled(value: Decimal, tokens: list[re.Match[str]]) -> tuple[str, Decimal | None]:
    """A number that is not negative in a format, and the number that this text stands for; None if that is not sure."""
    pattern = "".join(match["slot"] or "" for match in tokens)
    percent = 100 ** pattern.count("%")
    digits, _, exponent = re.sub(r"[%]", "", pattern).partition("E")
    if "/" in digits:
        text, read_back = _fraction(value * percent, digits)
    elif exponent:
        text, read_back = _scientific(value * percent, digits, exponent)
    else:
        text, read_back = _decimal(value * percent, digits)
    places = [place for place, token in enumerate(tokens) if _takes_digits(token)]
    inner, sure = tokens[places[0] : places[-1] + 1], True
    before, after = (_literals(part) for part in (tokens[: places[0]], tokens[places[-1] + 1 :]))
    between = _literals(token for token in inner if token["slot"] is None)
    if between and "/" not in digits:
        sure = not exponent and "," not in text
        text = _with_literals(text, inner) if sure else text + between
    after = "%" * sum(token["slot"].count("%") for token in inner if token["slot"] is not None) + after
    return (before + text + after).strip(), read_back / percent if sure else None


def _with_literals(text: str, tokens: Sequence[re.Match[str]]) -> str:
    """Digits in their places among literals, as in 000-0000. The first place takes all digits that are left over."""
    slots = [re.sub("[%,]", "", re.sub("[0#?]", _PLACE, token["slot"] or "")) for token in tokens]
    shown = "".join(slot.replace(".", _POINT) or _literal(token) for slot, token in zip(slots, tokens, strict=True))
    whole, point, decimals = shown.partition(_POINT)
    digits, _, tail = text.partition(".")
    over = len(digits) - whole.count(_PLACE) + 1
    first = [digits[:over], *digits[over:]] if over > 0 else [*[""] * (1 - over), *digits]
    whole = re.sub(_PLACE, lambda _: first.pop(0), whole) if _PLACE in whole else digits + whole
    rest = [*tail, *[""] * decimals.count(_PLACE)]
    return whole + point.replace(_POINT, ".") + re.sub(_PLACE, lambda _: rest.pop(0), decimals)


def _currency(bracket: str | None) -> str:
    """The sign in a part such as [$€-407]; colours and conditions show nothing."""
    return bracket[1:].split("-")[0] if bracket and bracket.startswith("$") else ""


def _decimal(value: Decimal, pattern: str) -> tuple[str, Decimal]:
    whole, _, decimals = pattern.partition(".")
    scale = 1000 ** (len(whole) - len(whole.rstrip(",")) + decimals.count(","))
    decimals = decimals.replace(",", "")
    rounded = (value / scale).quantize(Decimal(1).scaleb(-len(decimals)), rounding=ROUND_HALF_UP)
    text, _, tail = f"{rounded:f}".partition(".")
    text = text.zfill(whole.count("0")) if whole.count("0") else text.lstrip("0")
    if "," in whole.rstrip(","):
        text = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", text)
    while tail and len(tail) > len(decimals.rstrip("#?")) and tail.endswith("0"):
        tail = tail[:-1]
    return text + ("." + tail if decimals else ""), rounded * scale


def _scientific(value: Decimal, pattern: str, exponent: str) -> tuple[str, Decimal]:
    decimals = len(pattern.partition(".")[2])
    power = value.adjusted() if value else 0
    mantissa = value.scaleb(-power).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    if mantissa >= 10:
        mantissa, power = (mantissa / 10).quantize(Decimal(1).scaleb(-decimals)), power + 1
    sign = "-" if power < 0 else "+" if exponent.startswith("+") else ""
    return f"{mantissa:f}E{sign}{str(abs(power)).zfill(len(exponent) - 1)}", mantissa.scaleb(power)


def _fraction(value: Decimal, pattern: str) -> tuple[str, Decimal]:
    top, _, bottom = pattern.partition("/")
    fixed = bottom.isdigit() and int(bottom) > 0
    exact = Fraction(value)
    close = (
        Fraction(round(exact * int(bottom)), int(bottom))
        if fixed
        else exact.limit_denominator(10 ** max(len(bottom), 1) - 1)
    )
    has_whole = len(re.findall(r"[0#?]", top)) > 1
    whole = close.numerator // close.denominator if has_whole else 0
    rest = close - whole
    texts = [str(whole)] if whole or (has_whole and not rest) else []
    texts += [f"{rest.numerator}/{rest.denominator}"] if rest or not has_whole else []
    return " ".join(texts), Decimal(close.numerator) / Decimal(close.denominator)


def _general(value: int | float) -> Shown:
    """The format General: at most eleven characters. Whole numbers are never shortened, because they may be ids."""
    exact = Decimal(repr(value))
    if exact == 0:
        return Shown("0")
    power = exact.adjusted()
    if exact == exact.to_integral_value() and power < _LONGEST:
        return Shown(f"{exact:.0f}")
    if -5 < power < _WIDTH - 1:
        text = _trimmed(f"{exact.quantize(Decimal(1).scaleb(max(power, 0) - _WIDTH + 2), rounding=ROUND_HALF_UP):f}")
    else:
        text = _trimmed(f"{exact:f}")
        if len(text.lstrip("-")) > _WIDTH:
            mantissa, read_back = _scientific(abs(exact), "0.00000", "+00")
            number, _, exponent = mantissa.partition("E")
            text = f"{'-' if exact < 0 else ''}{_trimmed(number)}E{exponent}"
            return Shown(text, abs(read_back - abs(exact)) > _CLOSE * abs(exact))
    return Shown(text, abs(Decimal(text) - exact) > _CLOSE * abs(exact))


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _date(value: datetime.date | datetime.time | datetime.timedelta, number_format: str) -> str:
    """A date or time in its format; if the format has no part of it, in the order year, month, day."""
    if isinstance(value, datetime.timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    tokens = list(_DATE_TOKEN.finditer(_sections(number_format)[0]))
    parts = [match for match in tokens if match["part"]]
    if not parts:
        return str(value)
    half_day = any(match["half"] for match in tokens)
    texts = []
    for match in tokens:
        if match["part"]:
            texts.append(_date_part(value, match["part"], _is_minute(parts, match), half_day))
        elif match["half"]:
            texts.append("AM" if getattr(value, "hour", 0) < 12 else "PM")
        elif match["elapsed"]:
            texts.append(str(getattr(value, "hour", 0)))
        else:
            texts.append(match["quoted"] or match["escaped"] or match["literal"] or "")
    return "".join(texts).strip()


def _is_minute(parts: list[re.Match[str]], match: re.Match[str]) -> bool:
    """Whether an m stands for minutes: after hours, or before seconds."""
    place = parts.index(match)
    before = parts[place - 1]["part"].lower() if place else ""
    after = parts[place + 1]["part"].lower() if place + 1 < len(parts) else ""
    return before.startswith("h") or after.startswith("s")


def _date_part(value: datetime.date | datetime.time, part: str, minute: bool, half_day: bool) -> str:
    letter, length = part[0].lower(), len(part)
    clock = value if isinstance(value, datetime.datetime | datetime.time) else datetime.time()
    if letter == "h":
        hour = (clock.hour - 1) % 12 + 1 if half_day else clock.hour
        return f"{hour:02}" if length > 1 else str(hour)
    if letter == "s":
        return f"{clock.second:02}" if length > 1 else str(clock.second)
    if letter == "m" and minute:
        return f"{clock.minute:02}" if length > 1 else str(clock.minute)
    if isinstance(value, datetime.time):
        return ""
    if letter == "y":
        return f"{value.year % 100:02}" if length <= 2 else f"{value.year:04}"
    number = value.month if letter == "m" else value.day
    if length <= 2:
        return f"{number:02}" if length == 2 else str(number)
    name = _MONTHS[value.month - 1] if letter == "m" else _DAYS[value.weekday()]
    return name[:1] if length == 5 else name[:3] if length == 3 else name
