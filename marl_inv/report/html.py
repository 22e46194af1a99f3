"""A page's sections as HTML that needs no other file, and as Markdown."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.table import Table

from marl_inv.common.printed import as_html
from marl_inv.common.text import html_text, markdown_text
from marl_inv.evaluation.tables import markdown

LARGEST_SVG = 700_000
"""Characters of a picture above which it is put in as pixels."""


@dataclass(frozen=True)
class Picture:
    figure: Figure
    caption: str


Block = str | list[str] | Table | Picture


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Block]

    @property
    def anchor(self) -> str:
        return re.sub(r"\W+", "-", self.title).strip("-").lower()


def page_markdown(title: str, sections: Sequence[Section]) -> str:
    lines = [f"# {markdown_text(title)}", ""]
    for section in sections:
        lines += [f"## {markdown_text(section.title)}", ""]
        for block in section.blocks:
            if isinstance(block, Table):
                lines += [markdown(block), ""]
            elif isinstance(block, list):
                lines += [*(f"- {markdown_text(line)}" for line in block), ""]
            elif isinstance(block, str):
                lines += [markdown_text(block), ""]
    return "\n".join([*lines, "Pictures are in report.html.", ""])


# As a page


def html(title: str, sections: Sequence[Section]) -> str:
    numbers = iter(range(1, 10_000))
    contents = "".join(
        f'<li><a href="#{section.anchor}">{html_text(section.title)}</a></li>' for section in sections
    )
    body = "\n".join(
        f'<section id="{section.anchor}">\n<h2>{html_text(section.title)}</h2>\n{"".join(_block(block, numbers) for block in section.blocks)}</section>'
        for section in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
        'content="width=device-width, initial-scale=1">\n'
        f"<title>{html_text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{html_text(title)}</h1>\n<p class=caption>What an experiment with marl_inv found: inventory policies compared by simulation.</p>\n<nav><ul>{contents}</ul></nav>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _block(block: Block, numbers: Iterator[int]) -> str:
    if isinstance(block, Picture):
        number = next(numbers)
        caption = f"<b>Picture {number}.</b> {html_text(block.caption)}"
        return f"<figure>{_drawn(block, number)}<figcaption>{caption}</figcaption></figure>\n"
    if isinstance(block, Table):
        return as_html(block)
    if isinstance(block, list):
        return f"<ul>{''.join(f'<li>{_emphasised(line)}</li>' for line in block)}</ul>\n"
    return f"<p{' class=notice' if block.startswith('Not complete') else ''}>{html_text(block)}</p>\n"


def _emphasised(line: str) -> str:
    """What a line is about, before its colon, stands out."""
    head, colon, rest = line.partition(": ")
    return (
        f"<b>{html_text(head)}</b>: {html_text(rest)}"
        if colon and len(head) < 80 and "." not in head
        else html_text(line)
    )


def _drawn(picture: Picture, number: int) -> str:
    """Inline SVG, whose names are made its own; or pixels where it would be large."""
    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "marl_inv"}):
        picture.figure.savefig(
            file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = file.getvalue().decode()
    if len(text) > LARGEST_SVG:
        pixels = io.BytesIO()
        picture.figure.savefig(pixels, format="png", dpi=160)
        return (
            f'<img alt="{html_text(picture.caption)}" '
            f'src="data:image/png;base64,{base64.b64encode(pixels.getvalue()).decode()}">'
        )
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>p{number}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{html_text(picture.caption)}"', 1)


CSS = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #222; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2rem 1.5rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.4rem; margin: 3rem 0 .8rem; padding-top: .8rem; border-top: 1px solid #ddd; }
nav ul { list-style: none; padding: 0; margin: 0 0 1rem; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .92rem; }
a { color: #0059a3; text-decoration: none; } a:hover { text-decoration: underline; }
section > ul { padding-left: 1.2rem; } li { margin: .3rem 0; }
.notice { background: #fff4d6; border-left: 4px solid #e69f00; padding: .6rem .9rem; }
.wide { overflow-x: auto; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; font-variant-numeric: tabular-nums; }
thead tr { border-top: 2px solid #222; border-bottom: 1px solid #222; } tbody { border-bottom: 2px solid #222; }
th, td { padding: .32rem .6rem; text-align: left; white-space: nowrap; } th { font-weight: 600; }
.n { text-align: right; } tbody tr:nth-child(even) { background: #f6f6f6; }
figure { margin: 2.2rem 0; } figure svg, figure img { width: 100%; height: auto; display: block; }
figcaption, .caption { font-size: .87rem; line-height: 1.45; color: #555; margin: .6rem 0 0; }
@media print { h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""
