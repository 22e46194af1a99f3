"""Text out of files is data, wherever it ends up."""

import csv
import io
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_inv.common.errors import InputError, shown
from marl_inv.common.text import (
    csv_cell,
    cut,
    drawn,
    file_name,
    from_csv_cell,
    html_text,
    latex_text,
    markdown_text,
    message,
    visible,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\r\n\nfour", "two lines  four"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\ud800", r"\ud800"),
        ("Köln, 上海, Łódź ±", "Köln, 上海, Łódź ±"),
    ],
)
def test_what_cannot_be_seen_is_shown(text, seen):
    assert visible(text) == seen


def test_what_is_left_out_of_a_message_is_before_its_end():
    assert cut("abc", 3) == "abc"
    assert cut("where: " + "x" * 500 + "; give a name", 40).startswith("where: xxx")
    assert cut("where: " + "x" * 500 + "; give a name", 60).endswith("give a name")
    assert len(cut("x" * 500, 60)) == 60


def test_messages_are_short_and_cannot_move_the_cursor():
    assert message("a\x1b[2J\nb") == "a\\x1b[2J\nb"
    many = str(InputError("\n".join(["x" * 10_000] * 1000)))
    assert len(many.splitlines()) == 26
    assert max(map(len, many.splitlines())) <= 1000
    assert many.endswith("... and 975 lines more")


def test_numbers_that_python_does_not_write_out_are_told():
    assert shown(16**9000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$\\frac$", "\\$\\frac\\$"),
        ("_hidden", " _hidden"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_pictures_show_no_formulas_and_leave_nothing_out(text, told):
    assert drawn(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a|b", r"a\|b"),
        ("<script>&lt;", r"\<script\>\&lt;"),
        ("tuned_order_up_to", "tuned_order_up_to"),
        ("_emphasis_ and **strong**", r"\_emphasis\_ and \*\*strong\*\*"),
        ("# no heading", r"\# no heading"),
        ("- no list", r"\- no list"),
        ("1. no list", r"1\. no list"),
        ("-1.5", "-1.5"),
        ("+0.27 ± 0.38", "+0.27 ± 0.38"),
        ("two\nlines", "two lines"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
    ],
)
def test_markdown_means_nothing_by_it(text, told):
    assert markdown_text(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("50% of $x_1$ & {y}", r"50\% of \$x\_1\$ \& \{y\}"),
        ("[2cm] beside", "{[}2cm{]} beside"),
        ("* beside", "{*} beside"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a\n\nb", "a  b"),
    ],
)
def test_latex_runs_nothing(text, told):
    assert latex_text(text) == told


def test_pages_run_nothing():
    assert html_text("<b a='\"'>\x1b") == "&lt;b a=&#x27;&quot;&#x27;&gt;\\x1b"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@x", "'@x"),
        ("+1b", "'+1b"),
        ("-5", "-5"),
        (-5.0, -5.0),
        ("'=x", "''=x"),
        ("'tis", "'tis"),
    ],
)
def test_spreadsheets_compute_nothing(value, cell):
    assert csv_cell(value) == cell


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_cells_come_back_as_they_were(text):
    file = io.StringIO(newline="")
    csv.writer(file).writerow([csv_cell(text), "x"])
    [[cell, _]] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert from_csv_cell(cell) == text


@given(st.text())
def test_a_name_leaves_no_folder(text):
    name = file_name(text)
    assert PurePath("runs", name).parent == PurePath("runs")
    assert name not in ("", ".", "..")
    assert not name.startswith((".", "-"))
    assert len(f"{name}-0123456789ab".encode()) < 255


def test_ordinary_names_stay_as_they_are():
    assert file_name("ring_transshipment-mappo-0") == "ring_transshipment-mappo-0"
    assert file_name("../../etc/passwd") == "__.._etc_passwd"
