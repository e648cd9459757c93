"""The header fields of a tune in ABC notation: length, metre, tempo, key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from lawful.errors import DataError

SHARPS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}  # of the major key; its letters: order of sharps
MODES = {"": 0, "maj": 0, "ion": 0, "mix": -1, "dor": -2, "m": -3, "min": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1}
ACCIDENTALS = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}


def length_of(text: str) -> Fraction:
    times, slash, over = text.partition("/")
    halved = slash.count("/") + over.count("/")  # C// is a quarter of C; C/4 too
    number = over.strip("/")
    divided = 2**halved if not number else int(number) * 2 ** (halved - 1)
    if not divided or not int(times or 1):
        raise DataError(f"expected a length above 0, got {text!r}")
    return Fraction(int(times or 1), divided)


def meter_of(text: str) -> tuple[int, int] | None:
    """Beats and note value; None without bars."""
    if text in ("C", "c"):
        return 4, 4
    if text in ("C|", "c|"):
        return 2, 2
    if text.lower() in ("none", "", "free"):
        return None
    found = re.match(r"\(?(\d{1,3}(?:\+\d{1,3})*)\)?(?:/(\d{1,3}))?(?![\d+/])", text.replace(" ", ""))
    beats = sum(map(int, found[1].split("+"))) if found else 0
    value = int(found[2] or 1) if found else 0
    if not beats or value not in (1, 2, 4, 8, 16, 32, 64):
        raise DataError(f"expected a time signature (M:), got {text[:40]!r}")
    return beats, value


def unit_of(text: str) -> Fraction:
    found = re.fullmatch(r"(\d{1,3})(?:\s*/\s*(\d{1,3}))?", text)
    if found is None or not int(found[1]) or not int(found[2] or 1):
        raise DataError(f"expected a length (L:), got {text[:40]!r}")
    return Fraction(int(found[1]), int(found[2] or 1))


def tempo_of(text: str, unit: Fraction) -> float | None:
    """Quarters a minute. None where the words do not say it."""
    found = re.search(r"((?:\d{1,3}/\d{1,3}\s*)+|C\d{0,2})\s*=\s*(\d{1,4})", text)
    plain = re.fullmatch(r"\d{1,4}", text)  # quarters, as abc2midi has it
    if plain:
        speed = float(text)
    elif found and found[1][0] == "C":
        speed = float(unit * int(found[1][1:] or 1) * int(found[2]))
    elif found:
        parts = [tuple(map(int, part.split("/"))) for part in found[1].split()]
        speed = 4.0 * int(found[2]) * sum(first / second for first, second in parts if second)
    else:
        return None
    return speed if 1 <= speed <= 1000 else None


def key_of(text: str, before: Mapping[str, int]) -> dict[str, int]:
    """Letter -> semitones. Words after the key (a clef, say) are read elsewhere."""
    found = re.match(r"([A-G])([#b]?)([A-Za-z]*)(?:\s+([A-Za-z]{3,}|m)\b(?!=))?", text)
    if text.upper().startswith("HP"):
        key = {"F": 1, "C": 1}
    elif not text or re.match(r"none\b", text):
        key = {}
    elif found and (shift := MODES.get(found[3][:3].lower())) is not None and found[3] != "M":
        shift += 0 if found[3] else MODES.get((found[4] or "")[:3].lower(), 0)
        sharps = SHARPS[found[1]] + {"": 0, "#": 7, "b": -7}[found[2]] + shift
        key = _signature(sharps)
    elif re.match(r"clef|bass|treble|alto|tenor|perc|octave|transpose|middle|stafflines|exp|[_^=][A-Ga-g]", text):
        key = dict(before)
    else:
        raise DataError(f"expected a key (K:), got {text[:40]!r}")
    if re.search(r"\bexp\b", text):
        key = {}
    for sign, letter in re.findall(r"(\^\^?|__?|(?<!\S)=)([A-Ga-g])", text):
        key[letter.upper()] = ACCIDENTALS[sign]
    return key


def _signature(sharps: int) -> dict[str, int]:
    """sharps: their number; of flats where it is below 0."""
    order, key = list(SHARPS) if sharps > 0 else list(SHARPS)[::-1], dict[str, int]()
    for place in range(abs(sharps)):
        letter = order[place % 7]
        key[letter] = key.get(letter, 0) + (1 if sharps > 0 else -1)
    return key
