"""Delimited text: CSV and its relatives, whatever stands between the columns, in whatever encoding."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lawful.errors import TableError
from lawful.storage.json_files import MOST_LINE_BYTES, reading
from lawful.tables.cells import plain_number
from lawful.tables.header import MOST_ROWS, header_of
from lawful.unpack import MOST_AT_ONCE, Unpacked

MOST_CELLS = 50_000_000  # of a table; Parquet packs: a few bytes may stand for billions of rows
MANY_CELLS = 1_000_000  # from here on, columns of measured numbers are not kept: 4 million take 700 MB otherwise
_SAMPLE = 1000  # rows that tell which these are
COMMENT = "#"
# what may stand between columns, in the order in which it is tried -> what it is called
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SEP = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # a spreadsheet's own first line
_RULE = re.compile(r":?-+:?|=+")  # of a table in Markdown
SURELY_COLUMNS = 2  # of more than so many, no line of text has as many commas by chance
_SNIFFED = 2**16  # bytes or lines that decide the encoding and what separates the columns


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of texts.

    header   the names of the columns
    rows     the cells of each row, as many as columns
    lines    on which line of the file each row ends
    said     how the file was read, where that was a choice
    delimiter   what stands between columns
    """

    header: list[str]
    rows: list[tuple[str, ...]]
    lines: list[int]
    said: tuple[str, ...]
    delimiter: str


def text_lines(path: Path, *, is_own: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """The lines of a text file with their ends, packed or not, in any usual encoding; and how it was read.

    is_own   lawful wrote it: it is UTF-8, or damaged
    """
    said: list[str] = []
    with reading(path, "a text table", TableError), Unpacked(path) as stream:
        head = stream.read(_SNIFFED)
        stream.seek(0)
        encoding = next((name for bom, name in _BOMS.items() if head.startswith(bom)), "")
        if not encoding:
            encoding = _utf16_without_mark(head)
        if encoding.startswith(("utf-16", "utf-32")):
            lines = _wide_lines(path, stream, encoding)
            said.append(f"encoding {encoding[:6].upper()}")
        else:
            lines, is_utf8 = _lines(path, stream, is_own=is_own or _is_binary(head))
            if not is_utf8:
                said.append("encoding Latin-1 (it is not UTF-8)")
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")
    return lines, tuple(said)


def _lines(path: Path, stream: Unpacked, *, is_own: bool) -> tuple[list[str], bool]:
    """The lines, and whether they are UTF-8. A file without an end of a line may be as large as its name says, and hold
    nothing."""
    raw: list[bytes] = []
    for line in iter(lambda: stream.readline(MOST_LINE_BYTES), b""):
        if len(line) == MOST_LINE_BYTES:
            raise TableError(f"{path}: line {len(raw) + 1}: expected at most {len(line):,} characters, got more.")
        raw.append(line)
    is_utf8 = True
    try:
        texts = [line.decode() for line in raw]
    except UnicodeDecodeError:
        if is_own:
            raise
        texts, is_utf8 = [line.decode("cp1252", errors="replace") for line in raw], False
    if not any("\r" in text for text in texts):
        return texts, is_utf8
    return [part for text in texts for part in _parts(text)], is_utf8


def _parts(text: str) -> list[str]:
    """Some old programs end lines with a carriage return alone."""
    if "\r" not in text.rstrip("\r\n"):
        return [text]
    return io.StringIO(text, newline="").readlines()


def _wide_lines(path: Path, stream: Unpacked, encoding: str) -> list[str]:
    content = stream.read(MOST_AT_ONCE)
    if len(content) == MOST_AT_ONCE:
        raise TableError(f"{path}: expected at most {MOST_AT_ONCE:,} bytes of {encoding[:6].upper()}, got more.")
    return io.StringIO(content.decode(encoding), newline="").readlines()


def _utf16_without_mark(head: bytes) -> str:
    """Every other byte of a table in it is zero; empty where it is none."""
    zeros = (head[::2].count(0), head[1::2].count(0))
    if min(zeros) == 0 and max(zeros) > len(head) // 4:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return ""


def _is_binary(head: bytes) -> bool:
    """Control characters that no text has."""
    return any(byte < 9 or 13 < byte < 27 for byte in head)


def read_text(path: Path, may_tell: Callable[[str], bool] = lambda column: True) -> TextTable:
    """The table of a text file. Raises TableError where its columns cannot be told apart, a row has another number of
    cells than the header, or two columns have one name.

    may_tell   whether a column of measured numbers is kept, by its name, where the table has many cells
    """
    lines, said = text_lines(path)
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    told = _SEP.fullmatch(lines[first]) if lines else None
    skipped = first + 1 if told else 0
    lines, comments = _without_comments(lines, skipped)
    if not any(line.strip() for line in lines):
        raise TableError(f"{path}: expected a header and rows, got an empty file.")
    lines, comments = _header_in_comment(lines, comments)
    if ".md" in path.suffixes:
        lines = [line.replace("**", "") if line.lstrip().startswith("|") else "\n" for line in lines]
    lines, preface = (lines, ()) if told else _without_preface(lines)
    delimiter = told[1] if told else _delimiter(path, lines)
    rows: list[tuple[str, ...]] = []  # of tuples of texts the garbage collector keeps no account
    ends = []
    unread: list[int] = []
    for end, cells in text_rows(path, lines, delimiter):
        if cells and (len(cells) > 1 or cells[0].strip() or delimiter != " "):
            rows.append(_blanked(cells, unread) if unread else tuple(cells))
            ends.append(end)
            if len(rows) == _SAMPLE and len(lines) * len(rows[0]) > MANY_CELLS:
                unread = _measured(rows, may_tell)
                rows[1:] = [_blanked(row, unread) for row in rows[1:]]
    del lines  # a million take 150 MB
    rows, ends = _without_blank_tail(rows, ends)
    top = header_of([[cell.strip() for cell in cells] for cells in rows[:MOST_ROWS]])
    said += (*preface, *top.said)
    header, rows, ends = top.names, rows[top.rows :], ends[top.rows :]
    if header and not header[-1].strip() and all(not row[-1].strip() for row in rows if len(row) == len(header)):
        header = header[:-1]  # each line ends with what separates the columns
    rows = [row[:-1] if len(row) == len(header) + 1 and not row[-1].strip() else row for row in rows]
    for number, (end, row) in enumerate(zip(ends, rows, strict=True) if set(map(len, rows)) - {len(header)} else (), 1):
        if len(row) != len(header):
            raise TableError(
                f"{path}: row {number} (line {end}): expected {len(header)} cells, got {len(row)} "
                "(a number with thousands separators needs quotes, and so does a text with "
                f"{DELIMITERS.get(delimiter, repr(delimiter))})."
            )
    header = [name.strip() for name in header]
    if unread:
        names = [header[i] for i in unread]
        kept = [i for i in range(len(header)) if i not in set(unread)]
        header, rows = [header[i] for i in kept], [tuple([cells[i] for i in kept]) for cells in rows]
        said += (f"{len(names)} columns of measured numbers not kept ({', '.join(map(repr, names[:3]))}, ...)",)
    header, rows, ends, again = _without_rules(path, header, rows, ends)
    said += again
    if twice := [name for name, times in Counter(header).items() if times > 1]:
        raise TableError(f"{path}: two columns are called {twice[0]!r}; each needs its own name.")
    if comments:
        said += (f"{comments} comment line{'s' * (comments > 1)} that begin{'s' * (comments == 1)} with # left out",)
    usual = "\t" if ".tsv" in path.suffixes else ","
    if delimiter != usual:
        said += (f"columns separated by {DELIMITERS.get(delimiter, repr(delimiter))}",)
    return TextTable(header=header, rows=rows, lines=ends, said=said, delimiter=delimiter)


def _without_preface(lines: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Without lines of text above a table, as `Table 3: our runs`: they have none of the signs that cut all below them
    into columns, the first of which are names."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    for sign in set(DELIMITERS) - {" "}:
        counts = _counts([lines[i] for i in filled[:_SNIFFED]], sign)
        if counts is not None and len(counts) == 1 and min(counts) > SURELY_COLUMNS:
            return lines, ()  # its first line is cut as all are: names, whatever other signs stand in every row below
    for number, i in enumerate(filled[1 : MOST_ROWS + 1], start=1):
        if set('"\t;|') & set(lines[filled[number - 1]]):  # in quotes, a name may have an end of line; else a table
            break
        for sign in (sign for sign in DELIMITERS if sign not in (" ", *"".join(lines[j] for j in filled[:number]))):
            cells = [cell.strip() for cell in lines[i].split(sign)]
            if len(cells) < 2 or any(plain_number(cell) is not None for cell in cells):
                continue
            counts = _counts([lines[j] for j in filled[number : number + _SNIFFED]], sign)
            if counts is not None and len(counts) == 1 and min(counts) > 1 and len(filled) > number + 1:
                left = [lines[j].strip() for j in filled[:number]]
                kept = ["\n" if j < i else line for j, line in enumerate(lines)]
                return kept, (f"{len(left)} line{'s' * (len(left) > 1)} above the table left out: {left[0][:60]!r}",)
    return lines, ()


def _measured(rows: Sequence[Sequence[str]], may_tell: Callable[[str], bool]) -> list[int]:
    """The places of columns in which no two numbers are the same and all have decimals: values that were measured, of
    which a law needs none but its loss. rows: the first of a table, its header among them."""
    found = []
    for place, name in enumerate(rows[0]):
        cells = [row[place].strip() for row in rows[1:] if place < len(row)]
        is_measured = all("." in cell and plain_number(cell) is not None for cell in cells)
        if is_measured and 2 * len(set(cells)) > len(cells) and not may_tell(name.strip()):
            found.append(place)
    return found


def _blanked(cells: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    found = list(cells)
    for place in places:
        if place < len(found):
            found[place] = ""
    return tuple(found)


def _without_rules(
    path: Path, header: list[str], rows: list[tuple[str, ...]], ends: list[int]
) -> tuple[list[str], list[tuple[str, ...]], list[int], tuple[str, ...]]:
    """Without the header where it is repeated, as in two exports one below the other, and the line of dashes below the
    header of a table in Markdown. Raises TableError for another header among the rows: what is below it has other
    columns."""
    names = set(header) - {""}
    left, again = [], 0
    for place, cells in enumerate(rows):
        if place and names.isdisjoint(map(str.strip, cells)):  # as of nearly every row
            left.append(place)
            continue
        stripped = [cell.strip() for cell in cells]
        filled = {cell for cell in stripped if cell}
        if place == 0 and filled and all(map(_RULE.fullmatch, filled)):
            continue
        if stripped == header:
            again += 1
            continue
        if len(filled) > 1 and len(filled & names) > 1 and not any(plain_number(cell) is not None for cell in filled):
            raise TableError(
                f"{path}: row {place + 1} (line {ends[place]}): expected cells, got names of columns "
                f"({', '.join(stripped[:5])}): a second table begins there, whose columns are in another order. Write "
                "it into a file of its own (`lawful merge A B table.csv` makes one table of two)."
            )
        left.append(place)
    if header and not header[0] and all(not rows[place][0].strip() for place in left) and left:  # | a | b |
        header, rows = header[1:], [cells[1:] for cells in rows]
    said = (f"the header is repeated {again} times; these rows are left out",) if again else ()
    return header, [rows[place] for place in left], [ends[place] for place in left], said


def text_rows(path: Path, lines: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The cells of each row and the number of the line on which it ends."""
    # strict: a quote that nothing closes would take the rows below it for its text
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter == " ")
    left, line = MOST_CELLS, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise TableError(
                f"{path}: the row that begins at line {line + 1}: expected each quote closed before the next comma, "
                f"and doubled within a quoted text, got a row that cannot be read ({error})."
            ) from None
        if cells is None:
            return
        line, left = reader.line_num, left - len(cells)
        if left < 0:
            raise TableError(f"{path}: expected a table of at most {MOST_CELLS:,} cells, got more.")
        yield line, cells


def _without_comments(lines: list[str], skipped: int) -> tuple[list[str], int]:
    """The lines, those that are comments or stand before the table blank, so that numbers of lines stay; how many
    comments there were. Within a quoted text a line may begin with #: such a table has no comments."""
    if not skipped and not any(COMMENT in line for line in lines):
        return lines, 0
    is_quoted, left, comments = False, [], 0
    for number, line in enumerate(lines):
        if number < skipped:
            left.append("\n")
        elif line.lstrip().startswith(COMMENT) and not is_quoted:
            left.append(line if not any(map(str.strip, left)) else "\n")
            comments += 1
        else:
            left.append(line)
        is_quoted ^= line.count('"') % 2 == 1
    return left, comments


def _header_in_comment(lines: list[str], comments: int) -> tuple[list[str], int]:
    """numpy.savetxt writes the header as a comment: the last comment before rows of numbers alone is taken for it,
    where it has as many names. Other comments before the table become blank lines."""
    filled = (i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENT))
    begun = next(filled, len(lines))
    before = [i for i, line in enumerate(lines[:begun]) if line.strip()]
    if before and begun < len(lines):
        names, cells = lines[before[-1]].lstrip()[1:].strip(), lines[begun].strip()
        sign = next((sign for sign in DELIMITERS if sign in cells), " ")
        both = [part.split(sign) if sign != " " else part.split() for part in (names, cells)]
        is_numbers = all(plain_number(cell.strip()) is not None for cell in both[1])
        is_names = all(name.strip() and plain_number(name.strip()) is None for name in both[0])
        if is_numbers and is_names and len(both[0]) == len(both[1]):
            lines[before.pop()] = names + "\n"
            comments -= 1
    for i in before:
        lines[i] = "\n"
    return lines, comments


def _delimiter(path: Path, lines: Sequence[str]) -> str:
    """What stands between the columns: it cuts the header into two or more cells, and each row into as many."""
    filled = [line for line in lines if line.strip()]
    header = filled[0]
    order = sorted(DELIMITERS, key=lambda sign: ".tsv" in path.suffixes and sign != "\t")
    fits = []
    for sign in order:
        if sign not in header.strip(" \r\n" if sign == "\t" else None):
            continue
        counts = _counts(filled[:_SNIFFED], sign)
        if counts is not None and len(counts) == 1 and next(iter(counts)) > 1:
            fits.append(sign)
    if fits and (fits[0] != " " or len(fits) == 1):
        return fits[0]
    in_header = [sign for sign in order if sign in header and sign != " "]
    if len(in_header) == 1 or (in_header and in_header[0] == order[0]):
        return in_header[0]  # the row that has another number of cells is named then
    if not in_header and (" " not in header.strip() or len(filled) == 1):
        return order[0]  # a table of one column
    if not in_header:
        return order[0] if all(order[0] not in line for line in filled) else " "
    raise TableError(
        f"{path}: expected one sign between the columns (a comma, semicolon, tab or bar) that cuts each row into as "
        f"many cells as the header, got none; the header is {header.strip()[:80]!r}."
    )


def _counts(lines: Sequence[str], sign: str) -> set[int] | None:
    try:
        rows = csv.reader(lines, delimiter=sign, strict=True, skipinitialspace=sign == " ")
        return {len(cells) - (not cells[-1].strip()) for cells in rows if any(map(str.strip, cells))}
    except csv.Error:
        return None


def _without_blank_tail(rows: list[tuple[str, ...]], ends: list[int]) -> tuple[list[tuple[str, ...]], list[int]]:
    """A spreadsheet writes rows of empty cells below a table."""
    last = len(rows)
    while last > 1 and len(rows[last - 1]) > 1 and not any(map(str.strip, rows[last - 1])):
        last -= 1
    return rows[:last], ends[:last]
