"""Numbers in the text of a log: padded, coloured, with units (124M, 1.5 B, 2e9), and the patterns that find them."""

from __future__ import annotations

import math
import re

from lawful.errors import DeclarationError

UNITS = {
    **dict.fromkeys(("k", "K", "thousand"), 1e3),
    **dict.fromkeys(("M", "million"), 1e6),
    **dict.fromkeys(("B", "G", "billion"), 1e9),
    **dict.fromkeys(("T", "trillion"), 1e12),
}
COUNTS = ("step", "params", "tokens", "flops")  # numbers that may have a unit; a loss has none
_COLOURS = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]")
_PLAIN = r"\d[\d_]*+\.?\d*+|\.\d++"  # possessive: a digit is never given back, so a flood of digits costs its length
_COUNT = rf"[-+]?(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|{_PLAIN})(?:[eE][-+]?\d+)?"
# a loss of 3,214 may have a decimal comma: a comma groups digits only where a point follows
_NUMBER = rf"[-+]?(?:\d{{1,3}}(?:,\d{{3}})+\.\d+|{_PLAIN})(?:[eE][-+]?\d+)?"
_NOT_FINITE = r"[-+]?(?:nan|inf(?:inity)?)"
_UNIT = rf"(?: ?(?:{'|'.join(sorted(UNITS, key=len, reverse=True))})(?![\w]))?"
_OTHER_UNIT = r"(?! ?[kKMGTPE](?i:tok|param|flop|i?b\b))"  # 1.5 GFLOPs is neither 1.5 nor known to be 1.5e9
# what groups digits elsewhere (1'234, 1\u202f234), and powers (3.2×10^3): a number before them is no whole one
_GOES_ON = r"(?!['\u2019\u00a0\u2009\u202f]\d{3}(?!\d)|[ ]?[×*\u00b7][ ]?10\b)"
_GROUPED = r"(?:(?<=\d{4})|(?!(?: \d{3})++(?![\w.,])))"  # 1 234 567, of counts
_PART = re.compile(r"\{(\w+)\}|(\.\.\.)|(\s+)|([^\s{}.]+|[{}.])")
_SIGNS = re.compile(r"([:=|,;()\[\]])")


def plain_text(line: str) -> str:
    """A line without colours; of one that was written over with carriage returns, what stands at the end."""
    return _COLOURS.sub("", line)


def number_of(text: str) -> float:
    """The number of a text as a pattern finds it: 1,384,124,976, 124.4M, 2e9, nan."""
    text = text.strip()
    unit = next((one for one in sorted(UNITS, key=len, reverse=True) if text.endswith(one)), "")
    digits = text.removesuffix(unit).strip().replace(",", "").replace("_", "")
    value = float(digits)
    return round(value * UNITS[unit], 6) if unit and math.isfinite(value) else value


def compiled(pattern: str, known: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern such as "step {step} ... val loss {loss}" as a regular expression.

    Blanks match any number of blanks, also none around a number or one of : = | , ; ( ) [ ]. "..." is anything. The
    pattern begins at the beginning of a word, so that "loss {loss}" is not found in "train_loss 3.1". A number is
    whole: what follows it is no letter, digit or point of a longer one. Raises DeclarationError where a name is not
    known, or stands twice.
    """
    names = re.findall(r"\{(\w+)\}", pattern)
    if not names:
        raise DeclarationError(f"pattern: expected a text with {{loss}} or another name, got {pattern!r}")
    for name in names:
        if name not in known and name != "_":
            raise DeclarationError(f"pattern: no number is called {name!r}; expected {', '.join(known)}, or _ for any")
        if name != "_" and names.count(name) > 1:
            raise DeclarationError(f"pattern: {{{name}}} stands in it {names.count(name)} times; expected once")
    made = [r"(?<![\w/.-])" if re.match(r"\w", pattern) else ""]
    for name, anything, blank, literal in _PART.findall(pattern.strip()):
        if name:
            made.append(_number_named(name))
        elif anything:
            made.append(".*?")
        elif blank:
            made.append(r"[ \t]+")
        else:
            made.append("".join(_literal(piece) for piece in _SIGNS.split(literal) if piece))
    text = "".join(made)
    for sign in (r"[ \t]*", ".*?"):  # blanks beside what may stand alone are optional
        text = text.replace(rf"[ \t]+{sign}", sign).replace(rf"{sign}[ \t]+", sign)
    return re.compile(text, re.ASCII)


def _number_named(name: str) -> str:
    unit = _UNIT if name in COUNTS else ""
    number = _COUNT if name in COUNTS or name == "_" else _NUMBER
    goes_on = _GOES_ON + (_GROUPED if name in COUNTS and name != "step" else "")
    group = f"(?P<{name}>" if name != "_" else "(?:"
    return rf"[ \t]*{group}{number}{unit}|(?i:{_NOT_FINITE}))(?![\w%]|[.,]\d){goes_on}{_OTHER_UNIT}"


def _literal(piece: str) -> str:
    return rf"[ \t]*{re.escape(piece)}[ \t]*" if _SIGNS.fullmatch(piece) else re.escape(piece)
