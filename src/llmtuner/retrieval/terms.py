r"""Search terms of a text: one set of rules for the chunks of a corpus and for queries.

A term is a stem in lower case, a number, a formula, a LaTeX command, or one or two neighbouring characters of a script
that is written without blanks. Stop words are left out, except where they are names: "vitamin A", "the element As",
"a" as the last word of an option.

    "Vitamin A is stored in the liver."    vitamin, a, store, liver
    "Fe3+ is reduced to Fe²⁺"              fe3+, reduc, fe2+
    r"\frac{1}{2}mv^2 = 3.5 J, CO₂"        \frac, 1, 2, mv2, 3.5, j, co2
    "光合"                                 光, 光合, 合

Sources: Porter, "An algorithm for suffix stripping" (1980), in Snowball's English version (package PyStemmer); single
characters and bigrams for Chinese: Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information
retrieval" (2000).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from llmtuner.data.normal_form import visible_text

TERM_RULES = 1  # goes up with every change of the terms: an index of other rules is refused
_LONGEST_TERM = 64  # characters; longer ones are cut
_LONGEST_REMEMBERED, _MOST_REMEMBERED = 40, 1_000_000  # characters of a written word; written words
_SHOUTED_BLANKS = 3  # a text of four words in capitals alone: its capitals tell no names apart

_STOPPED = (
    "a an and are as at be been but by did do does for from had has have how if in into is it its no not of on or such "
    "that the their then there these they this those to was were what when where which while who whom why will with "
    "would"
)
STOP_WORDS = frozenset(_STOPPED.split())
# Stop words that are symbols or names if they begin with a capital inside a sentence.
_NAMES = frozenset({"A", "As", "At", "Be", "In", "No"})
_AMBIGUOUS = _NAMES | {"a"}
# "A" before these is no article: "A and B are right", "A is larger".
_BEHIND_A_NAME = frozenset({"and", "are", "but", "has", "in", "is", "of", "only", "or", "to", "was", "with"})
_LINE = "\n"  # stands as a word of its own between lines
_ELEMENTS = (
    "H|He|Li|Be|B|C|N|O|F|Ne|Na|Mg|Al|Si|P|S|Cl|Ar|K|Ca|Sc|Ti|V|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ga|Ge|As|Se|Br|Kr|Rb|Sr|Y|Zr|Nb|Mo|"
    "Tc|Ru|Rh|Pd|Ag|Cd|In|Sn|Sb|Te|I|Xe|Cs|Ba|La|Ce|Pr|Nd|Pm|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Hf|Ta|W|Re|Os|Ir|Pt|Au|Hg|Tl|"
    "Pb|Bi|Po|At|Rn|Fr|Ra|Ac|Th|Pa|U|Np|Pu|Am|Cm"
)
# What a charge may stand behind: a formula, or a blood group.
_CHARGED = re.compile(rf"(?:(?:{_ELEMENTS})\d*)+|A|AB")

_COMMAND = r"\\[A-Za-z]+"
_NUMBER = r"(?<![\w.)])[-+±]?(?:\d{1,3}(?:,\d{3})+(?!,?\d)(?:\.\d+)?|\d+(?:\.\d+)*|\.\d+)(?:\^\{?[-+]?\d+\}?)?"
_RAISED = r"(?:[\^_](?:\{[-+]?\w+[-+]?\}|[-+]?\d+(?:[-+](?!\w))?)\w*)*"
# In scripts of India, signs for vowels are no letters for `re`.
_LETTER = r"[\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff]"
_WORD = rf"{_LETTER}+(?<!_){_RAISED}(?:'\w+|\+(?![\w+])|-(?![\w-]))?"
_TOKENS = re.compile(f"{_NUMBER}|{_WORD}|{_COMMAND}").findall
_IS_NUMBER = re.compile(r"[-+±]?\.?\d")

# Thai, Lao, Burmese, Khmer, Japanese, Chinese; Korean has blanks, but its particles stand at the word.
_UNSPACED_RUN = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_POWER = re.compile(r"(?<!\w)(\d+(?:[.,]\d+)*)([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_PLAIN_SIGNS = str.maketrans("−－﹣⁻₋⁺₊＋’", "-----+++'")
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_GREEK = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK_NAMES.split(), strict=True))


class TermIds:
    """Terms as numbers of a vocabulary, fast over many texts: each written word is looked at once.

    Args:
        vocabulary: term to number; a growing one gets new terms in the order in which they first occur.
        grows: False for queries: terms that no chunk has are left out.
    """

    def __init__(self, vocabulary: dict[str, int] | None = None, *, grows: bool = True) -> None:
        self.vocabulary: dict[str, int] = {} if vocabulary is None else vocabulary
        self._memo = _Memo(self.vocabulary, grows)
        self._shouted = _Memo(self.vocabulary, grows, shouted=True)

    def of(self, texts: Iterable[str]) -> list[list[int]]:
        """The numbers of each text's terms, in their order, repeated ones too."""
        return [self.of_text(text) for text in texts]

    def of_text(self, text: str) -> list[int]:
        """The numbers of a text's terms."""
        memo = self._shouted if text.isupper() and text.count(" ") >= _SHOUTED_BLANKS else self._memo
        if len(memo) > _MOST_REMEMBERED:
            memo.clear()
        words = _written_words(text)
        for place in [place for place, word in enumerate(words) if word in _AMBIGUOUS]:
            words[place] = f"({words[place]})" if _is_name_at(words, place) else ""
        numbers: list[int] = []
        for word in words:
            numbers += memo[word]
        return numbers


def terms(text: str) -> list[str]:
    """The terms of one text, in their order."""
    ids = TermIds()
    numbers = ids.of_text(text)
    names = list(ids.vocabulary)
    return [names[number] for number in numbers]


def _written_words(text: str) -> list[str]:
    """What stands between blanks, with _LINE between lines."""
    if not text.isascii():
        for separator in "\u2028\u2029\x85":
            text = text.replace(separator, "\n")
    if "\n" not in text:
        return text.split()
    first, *more = text.split("\n")
    words = first.split()
    for line in more:
        words.append(_LINE)
        words += line.split()
    return words


def _is_name_at(words: list[str], place: int) -> bool:
    """Whether one of _AMBIGUOUS is a name where it stands alone between blanks."""
    word, behind = words[place], words[place + 1] if place + 1 < len(words) else _LINE
    ends = not behind[:1].isalnum() or (word in "aA" and behind.lower() in _BEHIND_A_NAME)
    if word == "a":
        return ends
    before = words[place - 1] if place else _LINE
    return ends or (before != _LINE and before.rstrip("\"'”’)]")[-1:] not in (*".!?:;", ""))


class _Memo(dict[str, tuple[int, ...]]):
    """The numbers of the terms in each written word; () for stop words and for terms that a vocabulary lacks.

    Args:
        shouted: for texts in capitals alone, whose capitals tell no names apart.
    """

    def __init__(self, vocabulary: dict[str, int], grows: bool, *, shouted: bool = False) -> None:
        import Stemmer

        super().__init__()
        self.vocabulary, self.grows, self.shouted = vocabulary, grows, shouted
        self.stem: Any = Stemmer.Stemmer("english").stemWord

    def __missing__(self, written: str) -> tuple[int, ...]:
        numbers = tuple(number for term in self._terms(written) if (number := self._number(term)) >= 0)
        if len(written) <= _LONGEST_REMEMBERED:
            self[written] = numbers
        return numbers

    def _number(self, term: str) -> int:
        if self.grows:
            return self.vocabulary.setdefault(term, len(self.vocabulary))
        return self.vocabulary.get(term, -1)

    def _terms(self, written: str) -> Iterator[str]:
        plain = written if written.isascii() else _plain(written)
        for part in [plain] if plain.isascii() else _UNSPACED_RUN.split(plain):
            if _UNSPACED_RUN.match(part):
                yield from _singles_and_pairs(part)
                continue
            for token in _TOKENS(part):
                term = self._term(token, ends_word=plain.endswith(token) and plain != token)
                if term:
                    yield term[:_LONGEST_TERM]

    def _term(self, token: str, *, ends_word: bool) -> str:
        """The term of a token; "" for a stop word.

        Args:
            ends_word: whether something is written before the token, and nothing behind it, as in `("A`.
        """
        if token.startswith("\\"):
            return token
        if _IS_NUMBER.match(token):
            return _number_term(token)
        lower = token.lower()
        if lower.partition("'")[0] in STOP_WORDS and not self._is_name(token, ends_word):
            return ""
        sign = token[-1] if token[-1] in "+-" and _carries_charge(token) else ""
        core = re.sub(r"_(?=\{?\d)|[\^{}]", "", token.rstrip("+-") if token[-1] in "+-" else token).strip("_")
        folded = _without_accents(core.casefold())
        if sign or any(char.isdigit() for char in folded):
            return folded + sign
        return _GREEK.get(folded) or str(self.stem(folded))

    def _is_name(self, token: str, ends_word: bool) -> bool:
        """Whether a stop word is written as a name: a letter, a symbol, or in capitals (NO, an AND gate)."""
        if token in _AMBIGUOUS:
            return not ends_word
        return not self.shouted and token.isupper() and len(token) > 1


def _carries_charge(token: str) -> bool:
    core = re.sub(r"[_^{}]", "", token.rstrip("+-"))
    return core[:1].isupper() if token[-1] == "+" else _CHARGED.fullmatch(core) is not None


def _number_term(token: str) -> str:
    plain = re.sub(r"[,{}±]", "", token)
    sign = plain[0] if plain[0] in "+-" else ""
    plain = plain[len(sign) :]
    return sign + (f"0{plain}" if plain.startswith(".") else plain)


def _without_accents(word: str) -> str:
    """Latin letters without their accents: Schrödinger is also written Schrodinger."""
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFD", word)
    if parts == word or not any(char.isascii() for char in parts):
        return word
    return unicodedata.normalize("NFC", "".join(char for char in parts if not "\u0300" <= char <= "\u036f"))


def _plain(written: str) -> str:
    """NFKC, with raised and lowered characters on the line; the exponent of a number stays apart from it."""
    written = _POWER.sub(lambda match: f"{match[1]}^{match[2]}", visible_text(written))
    return unicodedata.normalize("NFKC", written).translate(_PLAIN_SIGNS)


def _singles_and_pairs(run: str) -> Iterator[str]:
    """Characters and pairs of neighbours; a character alone, as an option may be, is in longer words, too."""
    for start in range(len(run)):
        yield run[start]
        if start + 1 < len(run):
            yield run[start : start + 2]
