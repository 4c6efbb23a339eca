"""Splits a text into sentences, in linear time.

Rules, in their order; a break stands behind the blanks that follow a sentence, so that the sentences joined are the
text:

- A blank line ends a sentence, as do headings (`#`, `==`), list lines, lines of a table and short lines (titles).
  A single line break within longer lines does not: the text is only wrapped.
- 。！？ and their like end a sentence without a blank behind them.
- . ! ? … end a sentence if blanks follow and the next word does not begin in lower case (pH and mRNA do begin one).
- A full stop does not end one behind an abbreviation (Fig., e.g., Dr., No.), an initial (J. Watson) or the number of a
  list (1.). Behind abbreviations that may be the last word (U.S., etc., et al.) and behind a single capital letter
  (vitamin C.) it does, if the next word is one that often begins a sentence (The, In, However).

Source of the idea that the word behind the stop decides: Kiss and Strunk, "Unsupervised multilingual sentence boundary
detection" (2006). Their statistics are replaced by two short lists.
"""

from __future__ import annotations

import re

_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_CLOSERS = "\"'”’»)\\]}」』）》〉】］｝〕"
_WIDE_STOPS = "。！？｡．।॥؟۔"
# Every run of characters is matched as a whole and never tried again: a text of a million stops takes linear time.
_CANDIDATE = re.compile(
    rf"(?P<stop>[.!?…]++)[{_CLOSERS}]*+(?:\[\d{{1,3}}\])*+(?P<blank>\s*+)"
    rf"|(?P<wide>[{_WIDE_STOPS}]++[!?…]*+)(?P<closers>[{_CLOSERS}]*+)(?P<behind>\s*+)"
    rf"|(?P<line>[{_LINE_ENDS}]\s*+)"
)
_OPENERS = re.compile(r"[\"'“‘«(\[{「『（《¿¡*_]{0,4}")
# A word that begins a sentence although its first letter is small: pH, mRNA, iPhone.
_MIXED = re.compile(r"[^\W\d_]{1,3}(?<=[A-Z])[^\W\d_]?|[a-z]{1,2}[A-Z]")
_CHINESE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_HIRAGANA = re.compile("[\u3041-\u309f]")
_NEW_LINE = re.compile(r"[-*+•‣▪·–—]\s|\(?\d{1,3}[.)]\s|\([a-zA-Z]\)\s|#{1,6}\s|==|\||>\s|```")
_HEADING = ("#", "==", "|")
_BLANK_LINE = re.compile(rf"(?:\r\n|[{_LINE_ENDS}])[^\S{_LINE_ENDS}]*+(?:\r\n|[{_LINE_ENDS}])|[\x0c\u2029]")
_SHORT_LINE = 50  # characters: a shorter line is no full line of a wrapped text
_LONGEST_BEFORE = 24  # characters in front of a stop that are looked at


def _split(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


# Abbreviations as they are written: "sun." and "mar." are no days and months.
_NEVER_LAST = _split(
    "e.g i.e eg ie cf Cf ca vs viz fig figs Fig Figs eq eqs Eq Eqs eqn approx resp",
    "Dr Prof Mr Mrs Ms Messrs St Mt Gen Col Lt Capt Sgt Rev Hon Pres Gov Sen Rep",
)
_BEFORE_NUMBERS = _split("No no Nos nos Nr nr p pp Ch ch Chap chap Sec sec Sect sect Ref ref Vol vol Tab tab")
_MAY_BE_LAST = _split(
    "al etc Inc Ltd Co Corp Bros Jr Sr Esq sp spp ssp subsp var cv ed eds Ph.D M.Sc B.Sc",
    "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec",
)
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_STARTERS = re.compile(
    r"(?:The|This|That|These|Those|There|It|Its|In|On|At|As|An|A|By|For|From|With|When|While|Where|Which|What|Why|How|"
    r"He|She|They|We|You|I|His|Her|Their|Our|If|But|And|Or|So|Such|Some|Many|Most|Both|Each|Every|All|One|Two|However|"
    r"Although|Though|Because|Since|After|Before|During|Also|Thus|Therefore|Then|Here|To|Not|No|Other|Another|Unlike|"
    r"Like|Under|Over|Between|Among|Once|Only|Even|Using|According)\b(?![.’'])"
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the blanks behind it; joined, they are the text. [] for ""."""
    ends = sentence_ends(text)
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def sentence_ends(text: str) -> list[int]:
    """Where each sentence ends, the blanks behind it included; the last one is the length of the text."""
    ends: list[int] = []
    start = line_start = 0
    for match in _CANDIDATE.finditer(text):
        end = match.end()
        if match["stop"] is not None:
            is_end = (bool(match["blank"]) and _ends(text, start, match)) or _chinese_follows(text, match)
        elif match["wide"] is not None:
            is_end = _wide_stop_ends(text, match)
        else:
            is_end = False
        blank = match["blank"] or match["behind"] or match["line"]
        if blank and _has_line_end(blank):
            is_end = is_end or _line_ends(text, line_start, match.start(), end, blank)
            line_start = end
        if is_end and start < end < len(text):
            ends.append(end)
            start = end
    return [*ends, len(text)] if text else []


def _has_line_end(blank: str) -> bool:
    return blank != " " and any(char in _LINE_ENDS for char in blank)


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a stop with blanks behind it ends the sentence that begins at `start`."""
    stop, place = match["stop"], match.start()
    opener = _OPENERS.match(text, match.end())
    following = opener.end() if opener else match.end()
    first = text[following : following + 1]
    if first.islower() and not _MIXED.match(text, following):
        return False
    if stop != ".":
        return True
    begin = max(start, place - _LONGEST_BEFORE)
    word = text[begin:place].rsplit(None, 1)[-1] if place > begin and not text[place - 1].isspace() else ""
    if place - start <= 4 and _is_list_number(text[start:place]):
        return False
    word = word.lstrip("\"'“‘«([{")
    if word in _NEVER_LAST or (word in _BEFORE_NUMBERS and first.isdigit()):
        return False
    if word in _MAY_BE_LAST or (len(word) == 1 and word.isupper()) or _DOTTED.fullmatch(word):
        return not first or _STARTERS.match(text, following) is not None
    return True


def _is_list_number(text: str) -> bool:
    mark = text.strip().lstrip("(")
    return mark.isdigit() and len(mark) <= 3


def _chinese_follows(text: str, match: re.Match[str]) -> bool:
    """Whether ! or ? stands in a Chinese text, which has no blanks."""
    return match["stop"][-1] in "!?…" and not match["blank"] and bool(_CHINESE.match(text, match.end()))


def _wide_stop_ends(text: str, match: re.Match[str]) -> bool:
    end = match.end()
    if match["behind"]:
        return True
    if match["wide"] == "．" and text[end : end + 1].isdigit():  # a decimal point in Japanese
        return False
    # 「本当？」と聞いた: what was said is a part of the sentence.
    return not (match["closers"] and _HIRAGANA.match(text, end))


def _line_ends(text: str, line_start: int, place: int, end: int, blank: str) -> bool:
    """Whether the end of a line ends a sentence although no stop does."""
    if _BLANK_LINE.search(blank) or _NEW_LINE.match(text, end):
        return True
    if text.startswith(_HEADING, line_start):
        return True
    following = text[end : end + 1]
    return place - line_start < _SHORT_LINE and not following.islower() and text[place - 1 : place] not in ",;，、；("
