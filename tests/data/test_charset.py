"""Encodings other than UTF-8: what a file is taken for, and whether the advised conversion gives the meant texts."""

from __future__ import annotations

import random
import re

import pytest

from llmtuner.data import charset
from llmtuner.data.charset import ENCODINGS, likely_encodings
from llmtuner.data.load import read_questions
from llmtuner.errors import DataError

TEXTS = {
    "gb18030": (
        "哪种气体用于光合作用？|力的单位是什么？|下列哪个行星离太阳最近？|石蕊试纸可以测量什么？|"
        "心脏的主要功能是泵送血液。|氧气|二氧化碳|氮气|氢气|牛顿|焦耳|瓦特|帕斯卡|水星|金星|地球|酸碱度|温度|"
        "质量|速度|下列关于细胞膜的说法，正确的是|铝|铁|钙|镁"
    ),
    "big5": (
        "哪種氣體用於光合作用？|力的單位是什麼？|下列哪個行星離太陽最近？|石蕊試紙可以測量什麼？|"
        "心臟的主要功能是泵送血液。|氧氣|二氧化碳|氮氣|氫氣|牛頓|焦耳|瓦特|帕斯卡|水星|金星|地球|酸鹼度|溫度|"
        "質量|速度|下列關於細胞膜的說法，正確的是|鋁|鐵|鈣|鎂"
    ),
    "cp932": (
        "光合成に使われる気体はどれですか。|力の単位は何ですか。|太陽に最も近い惑星はどれか。|"
        "心臓の主な働きは血液を送り出すことである。|酸素|二酸化炭素|窒素|水素|ニュートン|ジュール|水星|金星|"
        "地球|酸性度|温度|質量|速さ|アルミニウム|鉄|カルシウム"
    ),
    "euc_jp": (
        "光合成に使われる気体はどれですか。|力の単位は何ですか。|太陽に最も近い惑星はどれか。|"
        "心臓の主な働きは血液を送り出すことである。|酸素|二酸化炭素|窒素|水素|ニュートン|ジュール|水星|金星|"
        "地球|酸性度|温度|質量|速さ|アルミニウム|鉄|カルシウム"
    ),
    "cp949": (
        "광합성에 사용되는 기체는 무엇입니까?|힘의 단위는 무엇인가?|태양에 가장 가까운 행성은 어느 것인가?|"
        "산소|이산화탄소|질소|수소|뉴턴|와트|파스칼|수성|금성|지구|산성도|온도|질량|속도|"
        "세포막에 대한 설명으로 옳은 것은?|알루미늄|철|칼슘|마그네슘"
    ),
    "latin_1": (
        "Quel gaz les plantes absorbent-elles pour la photosynthèse ?|Welche Größe misst man in Volt?|"
        "Oxygène|Säure|café|¿Qué planeta está más cerca del Sol?|El corazón bombea la sangre|große Wärme|"
        "Schrödinger equation|Überdruck|niño"
    ),
    "cp1251": (
        "Какой газ растения поглощают при фотосинтезе?|Что является единицей силы?|Кислород|Азот|Водород|"
        "Ньютон|Джоуль|Меркурий|Венера|Земля|масса|температура|скорость"
    ),
}


def exam(codec: str, rows: int, chance: random.Random) -> bytes:
    """A file of random questions that is not UTF-8."""
    texts = TEXTS[codec].split("|")
    while True:
        lines = [",".join([*(chance.choice(texts) for _ in range(4)), chance.choice("ABC")]) for _ in range(rows)]
        content = ("prompt,A,B,C,answer\n" + "\n".join(lines) + "\n").encode(codec)
        if not content.isascii():
            return content


@pytest.mark.parametrize("codec", TEXTS)
@pytest.mark.parametrize(("rows", "least"), [(1, 180), (3, 198), (20, 200)])
def test_the_encoding_of_a_short_file(codec, rows, least):
    """Measured: of 200 files, all of three rows and more are right; of one row, the worst is Shift-JIS."""
    chance = random.Random(7)
    right = 0
    for _ in range(200):
        content = exam(codec, rows, chance)
        meant = content.decode(codec)
        right += any(content.decode(encoding) == meant for encoding in likely_encodings(content))
    assert right >= least


@pytest.mark.parametrize("codec", TEXTS)
def test_the_advised_conversion_gives_the_meant_texts(codec, tmp_path):
    """iconv -f LATIN1 was advised for Chinese files, and made nonsense of them that reads without a complaint."""
    content = exam(codec, 5, random.Random(1))
    path = tmp_path / "exam.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    names = re.findall(r"iconv -f (\S+) -t UTF-8 exam.csv > utf8.csv", str(error.value))
    [encoding] = [python for python, (iconv, _) in ENCODINGS.items() if iconv == names[0]]
    (tmp_path / "utf8.csv").write_text(content.decode(encoding), encoding="utf-8")
    (tmp_path / "meant.csv").write_text(content.decode(codec), encoding="utf-8")
    read, meant = (read_questions(tmp_path / name, purpose="train").questions for name in ("utf8.csv", "meant.csv"))
    assert [(q.question, q.options) for q in read] == [(q.question, q.options) for q in meant]


def test_every_name_is_known_to_python():
    """iconv's names and Python's must be the same encoding."""
    for python, (iconv, _) in ENCODINGS.items():
        assert "é你日".encode(python, "ignore") == "é你日".encode(iconv, "ignore")


def test_an_unknown_encoding_is_not_guessed(tmp_path):
    path = tmp_path / "exam.csv"
    path.write_bytes(b"prompt,A,B,answer\n" + bytes(range(128, 256)) * 3 + b",a,b,A\n")
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    assert "its encoding is unknown" in str(error.value)


def test_two_close_encodings_are_both_named(tmp_path):
    """The texts are shown, so that the reader of the message can choose."""
    chance, shown = random.Random(3), 0
    for _ in range(100):
        content = exam("euc_jp", 1, chance)
        encodings = likely_encodings(content)
        if len(encodings) == 2:
            (tmp_path / "exam.csv").write_bytes(content)
            with pytest.raises(DataError) as error:
                read_questions(tmp_path / "exam.csv", purpose="predict")
            message = str(error.value)
            assert "which encoding is unsure" in message
            assert message.count("in which it reads '") == message.count("iconv -f") == 2
            shown += 1
    assert shown


def test_an_encoding_must_decode_the_whole_file(monkeypatch):
    """Only the beginning is looked at; the advised command would stop at a later byte."""
    monkeypatch.setattr(charset, "_SAMPLE", 300)
    content = exam("gb18030", 20, random.Random(1))
    assert likely_encodings(content) == ["gb18030"]
    assert "gb18030" not in likely_encodings(content + b"\xff\n")


def test_a_damaged_byte_in_utf_8_is_no_other_encoding(tmp_path):
    """A conversion of the file from Latin-1 would turn every other umlaut into two signs."""
    path = tmp_path / "exam.csv"
    path.write_bytes("prompt,A,B,answer\nGröße?,ä,ö,A\nWärme?,ä,ö,A\n".encode().replace("Wä".encode(), b"W\xe4"))
    with pytest.raises(DataError) as error:
        read_questions(path, purpose="train")
    assert "exam.csv:3: is not UTF-8" in str(error.value)
    assert "most of it is UTF-8: correct the text in line 3" in str(error.value)
    assert "iconv" not in str(error.value)
