"""A report says what was found, from its folder alone, in one file and in plain sight of what is missing."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from marl_inv.common.errors import InputError
from marl_inv.common.text import markdown_text
from marl_inv.episodes.problem import Problem, load_problem
from marl_inv.evaluation.evaluate import measured
from marl_inv.evaluation.tables import latex
from marl_inv.experiments.comparison import bounds
from marl_inv.experiments.experiment import Experiment
from marl_inv.experiments.results import LISTING, Outcome, Results, grid_tables, read_results
from marl_inv.experiments.run import run
from marl_inv.report.findings import found_on
from marl_inv.report.measurements import (
    CURVE_SCALES,
    capacities_used,
    efficiency_curve,
    how_far,
    shadow_prices,
    telling,
)
from marl_inv.report.page import write_report
from marl_inv.report.pictures import counted_parts, looks
from marl_inv.scenario import Scenario, library, load_scenario
from marl_inv.scenario.objective import COST_PARTS

SMALL = """description: Does it pay & is <it> worth_it?
scenarios:
  - {name: short_one, scenario: here.yaml, settings: {horizon: 10, warm_up: 0}}
  - {name: other, scenario: here.yaml, settings: {horizon: 12, warm_up: 4, suppliers.0.capacity: 210, lanes.2.capacity: 30, warehouses.0.storage: 400}}
policies:
  - order_up_to
  - threshold_balancing
  - name: learner_1 & <co>
    algorithm: mappo
    settings: {decisions: 2000, decisions_per_update: 500, validations: 2, validation_replications: 4, hidden: 8, model: mlp, start: newsvendor}
seeds: 2
replications: 8
reference: order_up_to
"""
POLICIES = ["order_up_to", "threshold_balancing", "learner_1 & <co>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose experiment and scenario are gone, and which lies elsewhere than it was made."""
    place = tmp_path_factory.mktemp("page")
    shutil.copy(library()["two_warehouses"], place / "here.yaml")
    (place / "small.yaml").write_text(SMALL, encoding="utf-8")
    results = run(place / "small.yaml", place / "out")
    (place / "small.yaml").unlink()
    (place / "here.yaml").unlink()
    moved = shutil.move(place / "out", place / "moved")
    again = read_results([moved])
    assert again.experiment == results.experiment
    assert [(each.scenario, each.policy, each.seeds) for each in again.outcomes] == [
        (each.scenario, each.policy, each.seeds) for each in results.outcomes
    ]
    assert all(
        torch.equal(one.samples, other.samples)
        for one, other in zip(again.outcomes, results.outcomes, strict=True)
    )
    write_report(again)
    return Path(moved)


class Seen(HTMLParser):
    """What a page says, what is in it, and what it would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.fetched, self.open = "", [], [], []
        self.names: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.names.append(str(value))
            if name in ("src", "href", "xlink:href"):
                (self.links if str(value).startswith("#") else self.fetched).append(str(value))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_all_it_shows_and_names_everybody(folder: Path):
    page = (folder / "report.html").read_text(encoding="utf-8")
    seen = Seen(page)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert [link for link in seen.fetched if not link.startswith("data:")] == []
    assert not {"script", "link", "iframe"} & set(seen.tags)
    assert {link[1:] for link in seen.links} <= set(seen.names)
    for name in ("short_one", "other", *POLICIES, "Does it pay & is <it> worth_it?"):
        assert name in seen.text
    assert "Not complete" not in seen.text
    assert seen.tags.count("figure") == seen.tags.count("figcaption") == seen.tags.count("svg")
    each = seen.tags.count("figure") - 3  # of all scenarios together
    assert each == 2 * 6 + 1  # the one with lanes and suppliers that have limits has a picture more


def test_the_tables_hold_the_results_numbers(folder: Path):
    results = read_results([folder])
    rows = list(csv.DictReader((folder / "tables.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["scenario"], row["policy"]) for row in rows] == [
        (name, policy) for name in ("short_one", "other") for policy in POLICIES
    ]
    for row, outcome in zip(rows, results.outcomes, strict=True):
        judged = results.judged[outcome.scenario]
        result = measured(outcome.problem, judged.rewards[outcome.policy])
        assert (float(row["mean"]), float(row["low"]), float(row["high"])) == (
            result.mean,
            result.low,
            result.high,
        )
        assert float(row["fill_rate"]) == float(outcome.measures["fill_rate"].mean())
        assert int(row["seeds"]) == len(outcome.seeds) == (2 if "learner" in outcome.policy else 1)
        if outcome.policy == "order_up_to":
            assert row["gain"] == row["p_value_holm"] == ""
        else:
            assert float(row["gain"]) == judged.differences[outcome.policy].mean
            assert float(row["p_value_holm"]) == judged.gains[outcome.policy].p_value
    samples = list(csv.DictReader((folder / "samples.csv").read_text(encoding="utf-8").splitlines()))
    for row, outcome in zip(rows, results.outcomes, strict=True):
        own = [
            float(each["result"])
            for each in samples
            if (each["scenario"], each["policy"]) == (row["scenario"], row["policy"])
        ]
        assert len(own) == outcome.samples.numel()
        assert np.mean(own) == pytest.approx(float(row["mean"]))
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert all(f"| {markdown_text(policy)} |" in text for policy in POLICIES)


def test_the_gap_to_the_best_possible_is_told(folder: Path):
    """By the page, of every policy on every scenario; and as much as by hand."""
    results = read_results([folder])
    outcomes = results.of("other")
    problem = Problem.of(outcomes[0].problem)
    told = how_far(problem, outcomes)
    assert markdown_text(told) in " ".join((folder / "report.md").read_text(encoding="utf-8").split("\n"))
    tightest = min(bounds(problem, 0, outcomes[0].samples.shape[1]).values(), key=lambda bound: bound.mean)
    best = max(outcomes, key=lambda outcome: float(outcome.samples.mean()))
    gap = 100 * (tightest.mean - float(best.samples.mean())) / abs(tightest.mean)
    assert gap > 0
    assert f": {best.policy} {gap:,.{1 if gap < 100 else 0}f}%" in told


def test_latex_is_escaped_and_closed(folder: Path):
    text = (folder / "tables.tex").read_text(encoding="utf-8")
    assert r"learner\_1 \& <co> &" in text
    assert not re.search(r"(?<!\\)[_#]", text)
    assert text.count(r"\begin{") == text.count(r"\end{")
    [table, *_] = grid_tables(read_results([folder]))
    body = latex(table).split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {len(re.findall(r"(?<!\\)&", row)) for row in body} == {len(table.columns) - 1}
    assert all(row.endswith(r"\\") for row in body)


def test_what_is_missing_is_told_and_the_rest_is_shown(folder: Path, tmp_path: Path):
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    for cell in ("other-order_up_to", "short_one-learner_1_co_-1"):
        [found] = part.glob(f"{cell}-*")
        shutil.rmtree(found)
    results = read_results([part])
    assert results.missing == ["learner_1 & <co>, seed 1, on short_one", "order_up_to, on other"]
    assert results.judged["other"].reference.policy == "threshold_balancing"
    assert [len(each.samples) for each in results.outcomes] == [1, 1, 1, 1, 2]
    write_report(results, tmp_path / "told")
    text = Seen((tmp_path / "told" / "report.html").read_text(encoding="utf-8")).text
    assert (
        "Not complete: 2 cells are missing (learner_1 & <co>, seed 1, on short_one; order_up_to, on other)"
        in text
    )
    assert "On other, order_up_to is missing; gains are over threshold_balancing" in text


def test_what_is_no_run_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"grid.json: cannot be read .*give the folder of a grid"):
        read_results([tmp_path])
    (tmp_path / LISTING).write_text("{}")
    with pytest.raises(InputError, match="does not fit this version"):
        read_results([tmp_path])
    shutil.copy(folder / LISTING, tmp_path / LISTING)
    with pytest.raises(InputError, match="none of its 8 cells is there yet"):
        read_results([tmp_path])


def test_runs_are_reported_together_each_policy_once(folder: Path):
    assert [each.policy for each in read_results([folder, folder]).of("other")] == POLICIES


@pytest.mark.parametrize("name", library())
def test_a_listing_keeps_every_scenario(name: str):
    scenario = load_scenario(name)
    assert Scenario.model_validate_json(scenario.model_dump_json(exclude_none=True)) == scenario


# What is said, of results made up


def made_up(**gains: list[float]) -> Results:
    """Costs of 100 a period and luck that is everybody's, less what each policy gains on four traces."""
    luck = torch.tensor([1.0, -2.0, 3.0, -2.0]).double()
    problem = load_scenario("two_warehouses", ["objective=cost"])
    outcomes = [
        Outcome(
            "pair",
            policy,
            number,
            problem,
            False,
            (luck - 100 + torch.tensor(each)).unsqueeze(0),
            {},
            {},
            [1.0],
            [0],
            [],
            {},
        )
        for number, (policy, each) in enumerate(({"reference": [0.0] * 4} | gains).items())
    ]
    return Results(
        Experiment(scenarios=["pair"], policies=["reference", *gains], reference="reference"),
        Path(),
        outcomes,
    )


CLOSE = [1.0, 2.0, 3.0, 8.0]
"""Mean 3.5, error 1.555: Student's t with 3 degrees gives p = 0.11."""
CLEAR = [4.0, 5.0, 6.0, 5.0]
"""Mean 5, error 0.408: p = 0.0012."""


def test_gains_of_a_table_are_corrected_for_their_number():
    alone, together = made_up(one=CLEAR), made_up(one=CLEAR, two=CLOSE, three=[-each for each in CLEAR])
    p_value = alone.judged["pair"].gains["one"].p_value
    assert p_value == pytest.approx(0.0012, abs=1e-4)
    assert together.judged["pair"].gains["one"].p_value == pytest.approx(3 * p_value)
    assert together.judged["pair"].differences["one"].p_value == pytest.approx(p_value)
    near = made_up(one=[1.0, 2.0, 3.0, 4.0], two=[2.0, 4.0, 6.0, 8.0])
    [p_value] = {round(near.judged["pair"].differences[each.policy].p_value, 9) for each in near.outcomes[1:]}
    assert p_value == pytest.approx(0.0305, abs=1e-3)
    assert [gain.significant for gain in near.judged["pair"].gains.values()] == [False, False]
    [table] = grid_tables(replace(near, outcomes=[with_measures(outcome) for outcome in near.outcomes]))
    assert list(table.columns[6].cells) == ["", "+2.5 n.s.", "+5.0 n.s."]
    assert "after Holm over the 2 gains" in str(table.caption)


def with_measures(outcome: Outcome) -> Outcome:
    return replace(
        outcome, measures={name: torch.ones(1).double() for name in ("fill_rate", "on_hand", "transferred")}
    )


def test_the_words_follow_from_the_numbers():
    told = " ".join(found_on(made_up(good=CLEAR, close=CLOSE, bad=[-each for each in CLEAR]).judged["pair"]))
    assert "good does best, with a cost of 95" in told
    assert "5.0% (3.7 to 6.3) better than reference" in told
    assert "Not to be told apart from good: close" in told
    assert "Worse than reference: bad (by 5.0% (3.7 to 6.3))" in told
    assert (
        "No policy is shown to be better than reference: close has the best mean"
        in found_on(made_up(close=CLOSE).judged["pair"])[0]
    )
    assert (
        "Nobody is shown to do better than reference"
        in found_on(made_up(bad=[-each for each in CLEAR]).judged["pair"])[0]
    )


def test_a_policy_looks_the_same_everywhere_and_like_no_other():
    many = looks(made_up(**{f"policy_{number}": CLEAR for number in range(25)}))
    assert len(set(many.values())) == len(many) == 26
    assert many["reference"].colour == "#000000"


# What is measured


def test_parts_of_money_add_up_to_the_reward(folder: Path):
    for outcome in read_results([folder]).outcomes:
        assert sum(counted_parts(outcome).values()) == pytest.approx(float(outcome.samples.mean()), rel=1e-5)
        assert not set(counted_parts(outcome)) & set(COST_PARTS)


def test_more_stock_serves_more_along_the_curve():
    held, served = efficiency_curve(load_problem("lost_sales", ["horizon=12", "warm_up=2"]), 4)
    assert len(held) == len(CURVE_SCALES)
    assert (held[1:] >= held[:-1]).all()
    assert held[-1] > 2 * held[0]
    assert (served[1:] >= served[:-1]).all()


def test_capacities_are_told_by_what_is_shipped_and_the_scarce_come_first(folder: Path):
    results = read_results([folder])
    outcome = results.of("other")[1]
    network = Problem.of(outcome.problem).network
    used = capacities_used(network, results.of("other"))
    shipped = float(outcome.details["lane.shipped"][0, : network.replenishments].sum())
    assert used["supplier"]["threshold_balancing"] == pytest.approx(shipped / 210, rel=1e-5)
    held = float(outcome.details["warehouse.on_hand"][0, 0])
    assert used["storage of warehouse_0"]["threshold_balancing"] == pytest.approx(held / 400, rel=1e-5)
    assert set(used) == {"supplier", "warehouse_0->warehouse_1", "storage of warehouse_0"}
    assert next(iter(telling(used, {"supplier": 1.0}))) == "supplier"


def test_a_shadow_price_is_what_one_unit_more_would_bring():
    assert (
        shadow_prices(
            load_problem("ring_transshipment", ["horizon=30", "warm_up=0", "suppliers.0.capacity=50"])
        )["supplier"]
        > 0.1
    )
    with pytest.raises(InputError, match="has no capacity"):
        shadow_prices(load_problem("lost_sales"))
