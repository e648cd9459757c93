"""Cells: what a text, or a value of another library, means as a number, as yes or no, as a state, or as nothing."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np

from lawful.errors import TableError
from lawful.schema import Cell

Number = int | float
Row = Mapping[str, Cell]  # a row of a table: column -> cell
DIGITS = 300  # of a decimal that is read as a whole number
Point = Literal[".", ","]  # what stands before the decimals of a number

# how a cell says yes or no, in small letters
_YES_NO = dict.fromkeys(("yes", "y", "true", "t", "on", "x", "1"), True)
_YES_NO |= dict.fromkeys(("no", "n", "false", "f", "off", "0"), False)
# what stands for an empty cell in a column of numbers, or of yes and no
EMPTY = frozenset(("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "-", "--", "missing", "?"))
# what trackers and clusters call the state of a run, in small letters, with a space for _ and -
_FINISHED = frozenset(("finished", "complete", "completed", "success", "successful", "succeeded", "done", "ok"))
_NOT_FINISHED = frozenset(
    (
        "failed failure fail crashed crash killed running canceled cancelled preempted preempting diverged error "
        "errored aborted stopped interrupted pruned oom timeout incomplete unfinished active starting started pending "
        "queued scheduled waiting paused suspended"
    ).split()
) | {"not finished", "not started", "in progress", "timed out", "out of memory", "node fail"}

# ASCII digits alone: Python's float reads 3_14 as 314, and digits of other scripts
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_OF_NUMBERS = b"0123456789.eE+-\n"
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_TAIL = r"(?:[eE][+-]?\d+)?"
_GAP = "[ \u00a0\u2009\u202f'’]"  # what else stands between thousands
_COMMA_DECIMAL = re.compile(rf"[+-]?\d*,\d+{_TAIL}", re.ASCII)
_COMMA_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_INDIAN_THOUSANDS = re.compile(r"[+-]?[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?", re.ASCII)  # 1,00,000
_POINT_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?", re.ASCII)
_GAP_THOUSANDS = re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{_GAP}\d{{3}})+(?:[.,]\d+)?", re.ASCII)
_LONE = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)  # 1.234 and 1,234: a decimal, or thousands
# 2x10^7, 2 × 10⁷, 10**8
_TIMES_TEN = re.compile(
    r"(?:(?P<front>[+-]?\d+(?:[.,]\d+)?) ?[x×·*] ?)?"
    r"10(?:(?:\^|\*\*)(?P<power>[+-]?\d+)|(?P<raised>[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))",
    re.ASCII | re.IGNORECASE,
)
_RAISED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_MULTIPLES = {
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "mio", "million", "millions"), 1e6),
    **dict.fromkeys(("b", "g", "bn", "billion", "billions"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion", "trillions"), 1e12),
}
_COUNTED = r"(?: ?(?:params|parameters|tokens|tok|flops?|flop))?"
_MULTIPLE = re.compile(
    rf"(?P<number>.*?\d\.?) ?(?P<unit>{'|'.join(sorted(_MULTIPLES, key=len, reverse=True))})?{_COUNTED}", re.I
)


def plain_number(text: str) -> int | float | None:
    """The number that a text writes with a point and nothing between thousands; None for any other text."""
    if _WHOLE.fullmatch(text) and len(text) <= DIGITS:
        return int(text)
    if _PLAIN.fullmatch(text) or _INFINITE.fullmatch(text):
        return float(text)
    return None


def number_or_text(cell: str, *, is_number: bool) -> Number | str:
    """A cell of a text file; is_number: of a column that lawful knows to hold numbers, where `n/a` is empty."""
    cell = cell.strip()
    if len(cell) > DIGITS:
        return cell
    number = plain_number(cell)
    if number is not None:
        return number
    return "" if cell.lower() == "nan" or (is_number and cell.lower() in EMPTY) else cell


def numbers_or_texts(cells: Sequence[str], *, is_number: bool) -> list[Number | str]:
    """A column of a text file, each cell as number_or_text reads it.

    Most columns hold plain numbers only. They are told by their letters, the column at once, and int() and float() read
    them: what these read beside plain numbers (3_14, nan, Arabic digits) has other letters.
    """
    text = "\n".join(cells)
    if text.isascii() and not text.encode().translate(None, _OF_NUMBERS) and max(map(len, cells), default=0) <= DIGITS:
        try:
            return _plain_numbers(cells, are_decimal=text.count(".") == len(cells))
        except ValueError:
            pass  # a cell like 1-2 or 1.2.3
    return [number_or_text(cell, is_number=is_number) for cell in cells]


def _plain_numbers(cells: Sequence[str], *, are_decimal: bool) -> list[Number | str]:
    """ValueError where a cell is no number. are_decimal: there are as many points as cells."""
    if are_decimal:  # one in each, or float() refuses
        return list(map(float, cells))
    return [int(cell) if cell.lstrip("+-").isdigit() else float(cell) if cell else "" for cell in cells]


def point_of(cells: Iterable[str]) -> Point | None:
    """What stands before the decimals in these texts, by those that can be read in one way only; None where none tells.

    Raises TableError where some tell of a comma and some of a point.
    """
    told: dict[Point, str] = {}
    for cell in cells:
        if not _LONE.fullmatch(cell):
            if _COMMA_THOUSANDS.fullmatch(cell) or _INDIAN_THOUSANDS.fullmatch(cell):
                told.setdefault(".", cell)
            elif _COMMA_DECIMAL.fullmatch(cell) or _POINT_THOUSANDS.fullmatch(cell):
                told.setdefault(",", cell)
    if len(told) > 1:
        raise TableError(f"{told['.']!r} has a comma between thousands, and {told[',']!r} has not")
    return next(iter(told), None)


def are_lone(cells: Iterable[str]) -> bool:
    """Whether each of these texts is like 1.234, or each like 1,234: a number with decimals, or one of thousands."""
    signs = set()
    for cell in cells:
        if cell.lower() not in EMPTY:
            if not _LONE.fullmatch(cell):
                return False
            signs.add("," in cell)
    return len(signs) == 1


def torn(cells: Sequence[Cell], point: Point | None) -> list[str]:
    """The texts whose number is in doubt beside the other cells of their column: 3.123 among cells like 3,12 may be
    thousands; 156 647 among cells like 1567890 has lost a digit sooner than it was written so."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    found = []
    if point == "," and not any(_POINT_THOUSANDS.fullmatch(text) and not _LONE.fullmatch(text) for text in texts):
        found = [text for text in texts if _LONE.fullmatch(text) and "." in text]
    if gaps := [text for text in texts if _GAP_THOUSANDS.fullmatch(text) and not plain_number(text)]:
        numbers = [plain_number(cell) if isinstance(cell, str) else cell for cell in cells]
        large = sum(isinstance(number, (int, float)) and abs(number) >= 1000 for number in numbers)
        found += gaps if 2 * len(gaps) < large else []
    return found


def numbers_of(cells: Sequence[str], point: Point | None = None) -> list[Number | str] | None:
    """A column of texts as numbers and empty cells, where each is one of these in one way of writing decimals; None
    where they are not, or where nothing tells which of two numbers they are.

    point   what stands before decimals elsewhere in the table, for a column that does not tell

    Raises TableError where the column tells of two ways.
    """
    point = point_of(cells) or point
    if torn(cells, point):
        return None
    numbers: list[Number | str] = []
    for cell in cells:
        if (number := "" if cell.lower() in EMPTY else written_number(cell, point)) is None:
            return None
        numbers.append(number)
    return numbers


def written_number(text: str, point: Point | None) -> int | float | None:
    """The number that a text writes, with thousands apart and with this sign before the decimals; None where it is no
    number, or one of two, as 1,234 is where the sign is not known."""
    text = text.strip()
    if powers := _TIMES_TEN.fullmatch(text):
        text = f"{powers['front'] or 1}e{powers['power'] or powers['raised'].translate(_RAISED)}"
    if point != ",":
        if (number := plain_number(text)) is not None:
            return number
        if _COMMA_THOUSANDS.fullmatch(text) and (point == "." or not _LONE.fullmatch(text)):
            return plain_number(text.replace(",", ""))
        if _INDIAN_THOUSANDS.fullmatch(text):
            return plain_number(text.replace(",", ""))
    else:
        if _COMMA_DECIMAL.fullmatch(text):
            return plain_number(text.replace(",", "."))
        if _POINT_THOUSANDS.fullmatch(text):
            return plain_number(text.replace(".", "").replace(",", "."))
        if "." not in text and (number := plain_number(text)) is not None:
            return number
    if _GAP_THOUSANDS.fullmatch(text) and (point or "." not in text):
        bare = re.sub(_GAP, "", text)
        return plain_number(bare.replace(",", ".") if point == "," else bare)
    return None


def written_count(text: str, point: Point | None) -> float | None:
    """As written_number, and 11M, 1.3B, 7e9 tokens, 350 million."""
    parts = _MULTIPLE.fullmatch(" ".join(text.split()))
    if parts is None or _TIMES_TEN.fullmatch(text.strip()):
        return written_number(text, point)
    number = written_number(parts["number"], point)
    if number is None or not parts["unit"] or not math.isfinite(as_float(number)):
        return number
    exact = decimal.Decimal(str(number)) * int(_MULTIPLES[parts["unit"].lower()])
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def read_numbers(cells: Sequence[Cell], *, is_count: bool) -> list[Cell]:
    """The cells as numbers where they are, in text or not; else as they are."""
    kinds = set(map(type, cells))
    texts = [cell for cell in cells if cell and isinstance(cell, str) and not is_empty(cell)] if str in kinds else []
    if not texts:
        return list(cells)
    try:
        point = point_of(texts)
    except TableError:
        point = None
    if point == "," and 2 * len(texts) < sum(not is_empty(cell) for cell in cells):
        point = None  # a cell like 12,34 in a column of plain numbers is damaged sooner than written so
    read = written_count if is_count else written_number
    lone = frozenset(torn(cells, point))
    return [
        cell
        if not isinstance(cell, str) or is_empty(cell) or cell.strip() in lone or (number := read(cell, point)) is None
        else number
        for cell in cells
    ]


def as_float(cell: Cell | Real) -> float:
    """NaN where it is empty or no number."""
    if type(cell) is float:
        return cell
    if isinstance(cell, bool) or not isinstance(cell, Real):
        return math.nan
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def counts_of(cells: Sequence[Cell]) -> np.ndarray:
    """A column as float64: 7B is 7e9; NaN where a cell is empty or no number."""
    if set(map(type, cells)) <= {int, float}:
        try:
            return np.array(cells, dtype=float)
        except OverflowError:
            pass  # an integer of more than 308 digits is infinite
    return np.array([as_float(cell) for cell in read_numbers(cells, is_count=True)])


def has_unit(text: str) -> bool:
    """Whether a text is a number with a unit of its own, as 11M is."""
    parts = _MULTIPLE.fullmatch(" ".join(text.split()))
    return bool(parts and parts["unit"])


def as_plain(cell: Any) -> Cell:
    """A value of JSON or of another library as text, a number or a truth value; "" for what says that there is nothing.
    A list or mapping is the text that Python prints for it."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, (bool, int)):
        return cell
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas, which is not imported for this
        return ""
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return "" if np.isnat(cell) else str(cell)
    if isinstance(cell, (np.generic, np.ndarray)):
        return as_plain(cell.tolist())
    if isinstance(cell, decimal.Decimal):
        if cell.is_nan():
            return ""
        is_count = cell.is_finite() and cell.adjusted() < DIGITS and cell == cell.to_integral_value()
        return int(cell) if is_count else float(cell)
    if isinstance(cell, Real):
        try:
            return "" if cell != cell else float(cell)
        except OverflowError:  # a fraction of large integers
            return str(cell)
    if isinstance(cell, Mapping):
        return str({str(name): as_plain(value) for name, value in cell.items()})
    if isinstance(cell, (list, tuple)):
        return str([as_plain(value) for value in cell])
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)  # times; anything else


def as_text(cell: Any) -> str:
    """7 and 7.0 (a column of numbers with a gap, in pandas) are the text 7."""
    if type(cell) is str:
        return cell.strip()
    cell = as_plain(cell)
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell)


def texts_of(cells: Sequence[Cell]) -> list[str]:
    """A column as texts."""
    if set(map(type, cells)) == {str}:
        return [cell.strip() for cell in cells if isinstance(cell, str)]
    return [as_text(cell) for cell in cells]


def as_number(cell: Any) -> Cell:
    """A cell of a column that lawful knows to hold numbers, where `n/a` is empty."""
    cell = as_plain(cell)
    return "" if isinstance(cell, str) and cell.lower() in EMPTY else cell


def is_empty(cell: Cell) -> bool:
    """Whether a cell of numbers holds nothing."""
    return cell is None or cell == "" or (isinstance(cell, str) and cell.strip().lower() in EMPTY)


def yes_or_no(cell: Cell) -> bool | str | None:
    """True, False, "" for an empty cell, None for a cell that is none of these."""
    text = str(cell).strip().lower()
    if text in _YES_NO:
        return _YES_NO[text]
    if text in EMPTY:
        return ""
    number = plain_number(text)
    return None if number not in (0, 1) else number == 1


def first_said(row: Row, columns: Sequence[str], is_nothing: Callable[[Cell], bool]) -> tuple[str, Cell]:
    """The first of these columns with something in it, and its cell: two trackers' tables, one below the other, have
    some rows under one name and some under another."""
    return next(((name, row[name]) for name in columns if not is_nothing(row.get(name, ""))), (columns[0], ""))


def is_finished(row: Row) -> bool:
    """Whether a run's status says so, in the words of lawful or of a tracker; an empty status, or none, says yes."""
    status = row.get("status", "")
    return status in ("finished", "", None) or in_words(status) in _FINISHED


def is_state(status: Cell) -> bool:
    """Whether the text is the state of a run in the words of some tracker or cluster: CANCELLED by 1000 is one."""
    words = in_words(status)
    return words in _FINISHED or words in _NOT_FINISHED or words.split(" ")[0].strip(":+,;()") in _NOT_FINISHED


def in_words(status: Cell) -> str:
    return " ".join(str(status).lower().replace("_", " ").replace("-", " ").split())
