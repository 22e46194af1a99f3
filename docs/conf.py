"""How the documentation is built: `sphinx-build -W -b html docs docs/_build`. No network is needed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import marl_inv  # noqa: E402
import reference  # noqa: E402

project = "marl_inv"
author = "the marl_inv authors"
copyright = author
version = release = marl_inv.__version__
extensions = ["myst_nb"]
exclude_patterns = ["_build", "jupyter_execute", "_generated/*.md"]
html_theme = "furo"
html_title = f"marl_inv {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
smartquotes = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"


def make_pages(app: Any) -> None:
    """What is made from code and examples, anew in every build."""
    folder = HERE / "_generated"
    reference.write(folder)
    shutil.copy(HERE.parent / "results" / "examples" / "tour.ipynb", folder)


def inline_math(translator: Any, node: Any) -> None:
    translator.body.append(mathml(node.astext(), inline=True))
    raise nodes.SkipNode


def display_math(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), inline=False)}</div>')
    raise nodes.SkipNode


def mathml(formula: str, inline: bool) -> str:
    """Browsers draw it by themselves. A formula that is wrong ends the build."""
    return tex2mathml(formula, as_block=not inline)


def setup(app: Any) -> None:
    app.connect("builder-inited", make_pages)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
