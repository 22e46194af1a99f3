"""What `import marl_inv` offers: names that tools can see, a scenario in any form, and results that print
themselves."""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import networkx
import pytest

import marl_inv
from marl_inv import api
from marl_inv.episodes.problem import as_problem
from marl_inv.evaluation.tables import comparison_table
from marl_inv.scenario import scenario_path

PUBLIC = ast.parse(Path(marl_inv.__file__).read_text(encoding="utf-8"))


def shop() -> networkx.DiGraph:
    graph = networkx.DiGraph(horizon=8, demand={"kind": "poisson", "mean": 3})
    graph.add_node("mill", kind="supplier")
    graph.add_node("shop", shortage_cost=9.0, holding_cost=1.0)
    graph.add_edge("mill", "shop", lead_time=2)
    return graph


# Names


def test_the_names_that_editors_see_are_those_that_load():
    [checked] = [node for node in PUBLIC.body if isinstance(node, ast.If)]
    imported = {
        alias.asname: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == marl_inv._HOMES
    assert marl_inv.__all__ == sorted(imported) == dir(marl_inv)


@pytest.mark.parametrize("name", marl_inv.__all__)
def test_every_public_name_loads_and_says_what_it_is(name: str):
    found = getattr(marl_inv, name)
    assert isinstance(found, dict) or inspect.getdoc(found)
    assert not inspect.ismodule(found)


def test_importing_marl_inv_imports_nothing_heavy():
    told = (
        "import sys, marl_inv; print([name for name in ('torch', 'pettingzoo', 'pydantic', 'matplotlib') "
        "if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


# A scenario in any form


def test_a_scenario_is_the_same_in_every_form():
    path = scenario_path("two_warehouses")
    given = ["two_warehouses", path, str(path), marl_inv.load_scenario("two_warehouses")]
    assert len({as_problem(each).scenario.model_dump_json() for each in given}) == 1
    problem = as_problem("two_warehouses")
    assert as_problem(problem) is problem


def test_settings_change_a_graph_as_they_change_a_file():
    problem = as_problem(shop(), ["horizon=5", "lanes.0.lead_time=1"])
    assert (problem.scenario.horizon, problem.scenario.lanes[0].lead_time) == (5, 1)


def test_everything_takes_a_graph(tmp_path: Path):
    graph = shop()
    assert marl_inv.parallel_env(graph).possible_agents == ["shop"]
    assert marl_inv.env(graph).unwrapped is not None
    assert marl_inv.policy_named("order_up_to", graph).name == "order-up-to"
    assert [score.policy for score in api.evaluate(graph, "order_up_to", replications=2)] == ["order-up-to"]
    assert api.render(graph, "order_up_to", tmp_path / "shop.png", period=2).exists()
    assert marl_inv.solve(graph).states > 1
    assert set(marl_inv.bounds(graph, replications=2)) == {"perfect information", "complete pooling"}
    marl_inv.check_environment(graph)
    with pytest.raises(marl_inv.InputError, match=r"policy\.safetensors: cannot be read"):
        marl_inv.load_policy(tmp_path / "policy.safetensors", graph)


MISTAKES = {
    "api.evaluate(5, "
    "'random')": "scenario: is 5; give a bare name such as 'two_warehouses', a path, a networkx graph, a "
    "Scenario or a Problem",
    "api.evaluate(shop(), "
    "[5])": "policy: is 5; give a policy's name, a run folder, or an object with name, knows, start and act",
    "api.tune(shop(), 'myopic')": "myopic: there is nothing to tune in myopic; play it as it is",
    "api.tune(shop(), "
    "settings='horizon=5')": "settings: are 'horizon=5'; give a list of texts, like ['horizon=50']",
    "api.train(shop(), algoritm='mappo')": "train: algoritm is not a known key; did you mean algorithm?",
    "api.train(shop(), marl_inv.TrainSettings(), "
    "lr=0.1)": "train: lr is given beside a TrainSettings; give keywords, or put it in there",
    "marl_inv.compare(shop(), "
    "settings='horizon=5')": "settings: are 'horizon=5'; give a list of texts, like ['horizon=50']",
    "as_problem(networkx.DiGraph(demand=shop().graph['demand']))": "graph: warehouses is []; give a list "
    "with at least 1 entry",
}


@pytest.mark.parametrize(("call", "told"), MISTAKES.items())
def test_what_is_wrong_is_told_in_the_readers_words(call: str, told: str, unchecked: None):
    with pytest.raises(marl_inv.InputError) as error:
        eval(call)
    assert str(error.value) == told


# Policies


@dataclass(frozen=True)
class Nothing:
    """A frozen dataclass is a policy."""

    name: str = "nothing"
    knows: str = "nothing"

    def start(self, network, replications):
        return None

    def act(self, view, memory):
        requests = view.state.inventory_level.new_zeros(
            1, len(view.network.lanes), view.state.inventory_level.shape[-1]
        )
        return marl_inv.Decision(requests), None


def test_policies_are_given_by_name_or_as_they_are():
    scores = api.evaluate(shop(), ["order_up_to", Nothing()], replications=2)
    assert [score.policy for score in scores] == ["order-up-to", "nothing"]
    assert isinstance(Nothing(), marl_inv.Policy)


def test_what_is_tuned_by_name_is_what_policies_named_tuned_are():
    tuned = api.tune(shop(), "order_up_to", effort=1.0)
    assert (tuned.levels == marl_inv.policy_named("tuned_order_up_to", shop()).levels).all()


def test_training_takes_keywords_and_texts_alike_and_keeps_a_folder_only_where_one_is_given(
    tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small = {"decisions": 500, "model": "mlp", "validation_replications": 4, "algorithm": "pathwise"}
    said = api.train(shop(), **small)
    assert not list(tmp_path.iterdir())
    api.train(shop(), [f"{key}={value}" for key, value in small.items()], out="run")
    told = [api.evaluate(shop(), policy, replications=4)[0].reward for policy in (said.policy, "run")]
    assert told[0] == told[1]
    assert repr(said).startswith("Trained(LearnedPolicy(pathwise: mlp, ")
    [row] = said.records()
    assert (row["policy"], row["reference"]) == ("pathwise", "tuned order-up-to")
    assert row["gain_percent"] == said.percent_over_baseline
    assert said.to_frame()["gain_percent"].tolist() == [said.percent_over_baseline]


# Results


@pytest.fixture(scope="module")
def compared() -> marl_inv.Comparison:
    return marl_inv.compare(shop(), Nothing(), replications=4)


def test_a_comparison_prints_the_table_of_the_command_line(compared, monkeypatch):
    from rich.console import Console

    monkeypatch.setenv("COLUMNS", "90")
    console = Console(width=90)
    with console.capture() as said:
        console.print(
            comparison_table(compared.problem, compared.scores, compared.reference, compared.bounds)
        )
    assert str(compared).splitlines() == [line.rstrip() for line in said.get().splitlines()]


def test_what_is_looked_at_in_a_prompt_is_one_line(compared):
    problem = compared.problem
    trace = problem.trace("evaluate", 0, 2)
    view = next(iter(marl_inv.play(problem, Nothing(), trace))).view
    said = [
        repr(each)
        for each in (compared, problem, problem.scenario, problem.network, trace, view, compared.scores[0])
    ]
    assert all(len(line) < 200 and "\n" not in line for line in said)
    assert said[0] == "Comparison(graph: random, order-up-to, tuned order-up-to, nothing)"
    assert (
        said[2]
        == "Scenario(graph: 1 warehouse, 1 supplier, 1 lane, 1 product, continuing, 8 periods, objective "
        "cost)"
    )


def test_records_are_plain_and_frames_hold_the_same(compared):
    rows = compared.records()
    last, score = rows[-1], compared.scores[-1]
    assert (last["policy"], last["measured"], last["mean"]) == ("nothing", "cost", -score.reward.mean)
    assert last["gain"] == score.gain_over(compared.reference).mean
    assert next(row for row in rows if row["policy"] == "tuned order-up-to")["gain"] is None
    [alone] = score.records()
    assert (alone["policy"], alone["traces"], alone["reward"]) == (score.policy, 4, score.reward.mean)
    assert alone["on_hand"] == last["on_hand"]
    assert compared.to_frame()["policy"].tolist() == [row["policy"] for row in rows]
    assert "<td>nothing</td>" in compared._repr_html_()


def test_without_pandas_a_frame_says_what_to_do(compared, monkeypatch):
    imported = builtins.__import__

    def none_of_it(name, *rest):
        if name == "pandas":
            raise ImportError
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none_of_it)
    with pytest.raises(
        marl_inv.InputError,
        match="to_frame: needs pandas, which is not installed; `pip install pandas`, or take records",
    ):
        compared.to_frame()
