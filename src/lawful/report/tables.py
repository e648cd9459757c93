"""Numbers with units and sensible digits, and Markdown tables: used by the page, the plan and the progress alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from lawful.costs import GpuHours
from lawful.schema import Cell

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ"}
AXIS_SYMBOLS = {"params": "N", "tokens": "D", "flops": "C", "unique_tokens": "U"}
COLUMN_SYMBOLS = {"unique_tokens": "U", "seconds": "t"}  # of columns that stand in for another axis
DASH = "–"  # stands where a number is missing
_COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_FLOP_UNITS = ((1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTE_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def number(value: Cell) -> float | None:
    """The value as a finite float, or None: empty cells, "nan" and text are all missing numbers."""
    if value is None or isinstance(value, bool) or value == "":
        return None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):  # no number, or one too large for a float
        return None
    return result if math.isfinite(result) else None


def significant(value: float, digits: int = 3) -> str:
    """`digits` significant digits, plain notation between 1e-4 and 1e6, else 1.23e-5."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= exponent < 6:
        return f"{value:.{max(digits - 1 - exponent, 0)}f}"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def count(value: Cell) -> str:
    """1234567 is 1.23M; below a thousand every digit stands."""
    exact = number(value)
    if exact is None:
        return DASH
    return _scaled(exact, _COUNT_UNITS) or f"{exact:.0f}"


def flops(value: Cell) -> str:
    """Work done, in FLOPs: 2.1e15 is 2.10 PFLOPs."""
    exact = number(value)
    if exact is None:
        return DASH
    return (_scaled(exact, _FLOP_UNITS, space=" ") or f"{exact:.0f} ") + "FLOPs"


def flop_rate(value: Cell) -> str:
    """Speed, in FLOP/s: 9.9e10 is 99.0 GFLOP/s."""
    exact = number(value)
    if exact is None:
        return DASH
    return (_scaled(exact, _FLOP_UNITS, space=" ") or f"{exact:.0f} ") + "FLOP/s"


def memory(value: Cell) -> str:
    """Bytes in binary units."""
    exact = number(value)
    if exact is None:
        return DASH
    for unit, name in _BYTE_UNITS:
        if abs(exact) >= unit:
            return f"{significant(exact / unit)} {name}"
    return f"{exact:.0f} B"


def seconds(value: Cell) -> str:
    """A duration with its two largest units: 3.2 s, 4 min 10 s, 2 h 5 min, 3 d 4 h."""
    exact = number(value)
    if exact is None:
        return DASH
    if exact < 9.95:
        return f"{exact:.1f} s"
    whole = round(exact)
    for unit, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {smaller_name}" if rest else f"{whole // unit} {name}"
    return f"{whole} s"


def gpu_hours_text(hours: GpuHours, price: float | None) -> str:
    """What was spent, what is to come with its interval, and what both cost.

    price    of a GPU hour; None: not told
    """
    at = f", at {price:g} each" if price else ""
    if hours.left is None:
        return f"{hours.spent:.3g} GPU hours spent{at}; the others are known once three runs of each arm have finished"
    if not hours.left.high:
        return f"{hours.spent:.3g} GPU hours spent" + (f", {hours.spent * price:.3g}{at}" if price else "")
    left = hours.left
    text = f"{hours.spent:.3g} GPU hours spent, about {left.middle:.3g} ({left.low:.3g} to {left.high:.3g}) to come"
    if not price:
        return text
    low, middle, high = ((hours.spent + own) * price for own in (left.low, left.middle, left.high))
    return f"{text}; {middle:.3g} ({low:.3g} to {high:.3g}) in all{at}"


def loss(value: Cell) -> str:
    """Four decimals: seeds differ in the third."""
    exact = number(value)
    return DASH if exact is None else f"{exact:.4f}"


def percent(value: Cell, *, signed: bool = False) -> str:
    """A share: .0123 is 1.2 %."""
    exact = number(value)
    if exact is None:
        return DASH
    digits = 2 if abs(exact) < 0.00995 else 1
    return f"{100 * exact:{'+' if signed else ''}.{digits}f} %"


def general(value: Cell, digits: int = 4) -> str:
    """A number without a unit, such as a learning rate: trailing zeros dropped."""
    exact = number(value)
    if exact is None:
        return DASH
    text = significant(exact, digits)
    mantissa, mark, power = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa + mark + power


def estimate(value: Cell, low: Cell = None, high: Cell = None) -> str:
    """A value to the digits that its interval supports (its width is 30 to 300 of the last one), but at least two."""
    shown, two = _to_the_digits_of(value, low, high, value), general(value, 2)
    return two if (number(shown) or 0.0) != number(two) and len(shown.strip("-0.")) < 2 else shown


def interval(low: Cell, high: Cell) -> str:
    """[0.31, 0.37], to the digits that its width supports; a dash where there is none. Ends that are decades apart have
    two digits each: [5.5, 1400]. Ends that the data do not determine (nan, infinity): at least 0.31, not determined."""
    if low is None or high is None:
        return DASH
    least, most = number(low), number(high)
    if most is None:
        return f"at least {general(low, 2)}" if least else "not determined"
    if least is None:
        return f"at most {general(high, 2)}"
    if 0 < 10 * least < most:
        return f"[{general(least, 2)}, {general(most, 2)}]"
    return f"[{_to_the_digits_of(low, low, high, low)}, {_to_the_digits_of(high, low, high, high)}]"


def moment(value: Cell) -> str:
    """2026-11-22T07:06:51+00:00 is 2026-11-22 07:06 UTC; another zone, or another form, stays as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[0-9:.]*(?:Z|\+00:00)", str(value or ""))
    return f"{found[1]} {found[2]} UTC" if found else str(value or "")


def many(number_of: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Sequence[int] = ()) -> str:
    """A GitHub-flavoured table; cells are escaped so that data cannot break out of it. `right`: columns of numbers."""
    rules = ["---:" if index in right else "---" for index in range(len(header))]
    lines = [header, rules, *rows]
    return "\n".join(
        "| " + " | ".join(str(cell) if line is rules else markdown_text(cell) for cell in line) + " |" for line in lines
    )


# Control characters but newline and tab (C0, DEL, C1), those that turn the direction of writing, line separators,
# halves of a character, and invisible marks and tags
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """The text with each character that a terminal obeys instead of showing written out: an escape is \\x1b. Newlines
    and tabs stay."""
    return _UNPRINTABLE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    letter = found[0]
    return "\\u007f" if letter == "\x7f" else letter.encode("unicode_escape").decode()  # as JSON has it, too


def markdown_text(value: Cell) -> str:
    """Text from data, safe inside Markdown: one line, no table bars, no tags, no emphasis or heading by accident."""
    text = printable(" ".join(str(value).split()))
    for mark in ("\\", "|", "`", "*", "[", "]", "_"):
        text = text.replace(mark, "\\" + mark)
    text = text.replace("<", "&lt;").replace(">", "&gt;")
    return "\\" + text if text.startswith(("#", "~~~")) else text


def coordinates(at: Mapping[str, Cell]) -> str:
    """A rung's coordinates for reading: size=3, tokens=1M, seed=0."""
    return ", ".join(f"{name}={coordinate(value)}" for name, value in at.items())


def coordinate(value: Cell) -> str:
    """Large whole numbers as counts, all else as it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= 10_000:
        return general_count(value)
    return str(value)


def readable(rung: Cell) -> str:
    """size=16,tokens=125000 becomes size=16, tokens=125k."""
    parts = []
    for part in str(rung or "").split(","):
        name, mark, value = part.partition("=")
        parts.append(f"{name}={coordinate(int(value))}" if mark and re.fullmatch("[0-9]{1,30}", value) else part)
    return ", ".join(parts)


def symbol(name: str) -> str:
    """alpha is α, N_exponent is N exponent, A_pivot is A at pivot."""
    if name.endswith("_pivot"):
        return f"{symbol(name.removesuffix('_pivot'))} at pivot"
    return GREEK.get(name, name.replace("_", " "))


def axis_symbol(axis: str, column: Cell = None) -> str:
    """params is N; the axis flops is t where its column is seconds."""
    return COLUMN_SYMBOLS.get(str(column), AXIS_SYMBOLS.get(axis, axis))


def axis_amount(column: Cell, value: Cell) -> str:
    """A place on an axis, in the unit of its column: 54.0 GFLOPs, 7.2 s, 17.2k."""
    if str(column).startswith("flops"):
        return flops(value)
    return seconds(value) if column == "seconds" else count(value)


def formula(text: str, axis: str = "", column: Cell = None) -> str:
    """E + a x^-alpha along the axis params is E + a N^−α."""
    if axis in AXIS_SYMBOLS:
        text = re.sub(r"\bx\b", axis_symbol(axis, column), text)
    for name, letter in GREEK.items():
        text = text.replace(name, letter)
    return text.replace("^-", "^−")


def general_count(value: Cell) -> str:
    """A count as a person declared it: 1000000 is 1M, 1_500_000 is 1.5M."""
    text = count(value)
    digits, unit = (text[:-1], text[-1]) if text[-1:] in "TBMk" else (text, "")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + unit


def _scaled(value: float, units: Sequence[tuple[float, str]], space: str = "") -> str:
    for unit, name in units:
        if abs(float(f"{value:.2e}")) >= unit:  # rounded first, so that 999_999 is 1.00M and not 1000k
            return f"{significant(value / unit)}{space}{name}"
    return ""


def _to_the_digits_of(value: Cell, low: Cell, high: Cell, shown: Cell) -> str:
    exact, bottom, top = number(shown), number(low), number(high)
    if exact is None:
        return DASH
    if bottom is None or top is None or not 0 < (top - bottom) / 0.3 < math.inf:
        return general(exact)
    decimals = 2 - math.floor(math.log10((top - bottom) / 0.3))
    if decimals > 8 or abs(exact) >= 1e6:
        return significant(exact, 3)
    return f"{round(exact, decimals):.{max(decimals, 0)}f}"
