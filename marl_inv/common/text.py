"""Text out of files is data: what it becomes where it is printed, drawn, written as Markdown, LaTeX, CSV or
HTML, and where it names a file."""

from __future__ import annotations

import re
import unicodedata
from html import escape

LONGEST_LINE, MOST_LINES = 1000, 25
"""Characters of a line, and lines, of a message; what is beyond is left out."""


LONG_WORD = re.compile(r"\S{400,}")
"""What nobody reads to its end, and has to be cut for what stands around it to be seen."""


LONGEST_NAME = 60
"""Characters of a name in a picture."""


LONGEST_FILE_NAME, LONGEST_IN_BYTES = 80, 200
"""Of what comes from a file in a file's name; disks take 255 bytes."""


HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that are shown as escapes: controls, halves of characters, separators of lines."""


JOINERS = "\u200c\u200d"
"""Of the characters that only say how others are laid out, those that words are written with."""


FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""How a cell begins that a spreadsheet would compute."""


def visible(text: str) -> str:
    """In one line, with escapes in place of whatever would move a cursor, hide, or turn text around."""
    return "".join(map(_shown, " ".join(text.splitlines()) if "\n" in text else text))


def _shown(sign: str) -> str:
    if sign.isascii() and sign.isprintable():
        return sign
    kind = unicodedata.category(sign)
    if kind in HIDDEN or (kind == "Cf" and sign not in JOINERS):
        return sign.encode("unicode_escape", "surrogatepass").decode("ascii")
    return sign


def cut(text: str, most: int) -> str:
    """Not longer than that; what is left out is from near the end, for messages end with what to do."""
    if len(text) <= most:
        return text
    head = (most - 5) * 3 // 4
    return f"{text[:head]} ... {text[len(text) - (most - 5 - head) :]}"


def message(text: str) -> str:
    """What a person is told, line by line, each in a sensible length."""
    lines = text.split("\n")
    told = [cut(LONG_WORD.sub(_cut_word, visible(line)), LONGEST_LINE) for line in lines[:MOST_LINES]]
    return "\n".join([*told, f"... and {len(lines) - MOST_LINES} lines more"][: len(lines)])


def _cut_word(match: re.Match[str]) -> str:
    return cut(match[0], 100)


def drawn(text: str, most: int = LONGEST_NAME) -> str:
    """As matplotlib takes it: no formulas, and nothing that a legend leaves out."""
    plain = visible(text)
    plain = plain if len(plain) <= most else f"{plain[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    return re.sub("^_", " _", plain.replace("$", r"\$"))


def html_text(text: str) -> str:
    """As a page takes it, in an element or in an attribute's quotes."""
    return escape(visible(text))


def markdown_text(text: str) -> str:
    """As Markdown takes it, in a paragraph, a line of a list or a cell; a name keeps its underscores."""
    plain = re.sub(r"([\\`*\[\]<>|$])|(?<!\w)(_)|(_)(?!\w)|(~)(?=~)", r"\\\g<0>", visible(text))
    plain = re.sub(r"&(?=#?\w+;)", r"\\&", plain)
    return re.sub(r"^(\s*)([#>+=-]|\d+(?=[.)]))", _not_a_block, plain)


def _not_a_block(match: re.Match[str]) -> str:
    """A line's beginning that would be a heading, a list or a rule, so that it is not."""
    start, sign = match.groups()
    rest = match.string[match.end() :]
    if sign.isdigit():
        return match[0] if not re.match(r"[.)](\s|$)", rest) else f"{start}{sign}\\"
    begins = sign in "#=" or (sign in "+-" and (not rest or rest[0] in " -+"))
    return f"{start}\\{sign}" if begins else match[0]


LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
    "[": "{[}",
    "]": "{]}",
} | {sign: rf"\{sign}" for sign in "&%$#_{}"}


def latex_text(text: str) -> str:
    """As LaTeX takes it; brackets and stars in braces, for at the beginning of a row they belong to the line
    break before it."""
    escaped = "".join(LATEX.get(sign, sign) for sign in visible(text))
    return re.sub(r"^\*", "{*}", escaped)


def csv_cell(value: object) -> object:
    """A cell that a spreadsheet takes for what it says: text that begins like a formula has a quote before
    it, numbers stay. `from_csv_cell` takes it off."""
    if not isinstance(value, str) or not FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def from_csv_cell(text: str) -> str:
    """What `csv_cell` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text[1:]) else text


def file_name(text: str) -> str:
    """A file's name of letters, digits and `.=+-_` alone, that leaves no folder and hides nothing."""
    plain = re.sub(r"[^\w.=+-]+", "_", text)
    plain = re.sub(r"^[.-]+", "_", plain)
    return plain[:LONGEST_FILE_NAME].encode()[:LONGEST_IN_BYTES].decode(errors="ignore") or "unnamed"
