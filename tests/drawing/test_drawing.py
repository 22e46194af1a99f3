"""Pictures: what is there to be seen is in them, in its place, and nothing covers anything else."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from building import network, play, problem, requests
from marl_inv import cli
from marl_inv.common.errors import InputError
from marl_inv.drawing import film as drawing
from marl_inv.drawing.layout import lay_out
from marl_inv.drawing.picture import draw_network, figure_to_rgb
from marl_inv.drawing.style import REACTIVE, REPLENISHMENT, TRANSFER, UNMET
from marl_inv.environment import WarehouseEnv, parallel_env
from marl_inv.simulator import Chance, Decision, initial_state, step
from scenarios_under_test import SCENARIOS, problem_under_test

every_scenario = pytest.mark.parametrize("name", SCENARIOS)

PAIR = """
horizon: 6
suppliers: [{name: mill, capacity: 8}]
warehouses: [{name: north, initial_stock: 20, shortage_cost: 9}, {name: south, storage: 25}]
lanes:
  - {origin: mill, destination: south, lead_time: 1}
  - {origin: north, destination: south, lead_time: 1, capacity: 5, unfilled: owed}
"""
PLAIN = np.zeros((10, 12, 3), dtype=np.uint8)


def drawn(given: str, ask: dict[str, float] | None = None, demand: dict[str, float] | None = None) -> Figure:
    """The network after one period."""
    net = network(given)
    played = play(net, ask=[ask or {}], demand=[demand or {}])
    return draw_network(net, played.states[0], played.flows[0], "a period")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pixels(figure: Figure, colour: str) -> int:
    """How many are of a colour, or nearly; the legend has some of every colour."""
    return int((np.abs(figure_to_rgb(figure) / 255 - np.array(to_rgb(colour))).max(-1) < 0.12).sum())


# What is there to be seen


def test_shortage_is_red_in_its_measure():
    none, some, all_of_it = (pixels(drawn(PAIR, demand={"north": demand}), UNMET) for demand in (20, 30, 300))
    assert none < some < all_of_it
    assert "\N{MINUS SIGN}10" in texts(drawn(PAIR, demand={"north": 30}))
    assert "demand 30, 67% met at once" in texts(drawn(PAIR, demand={"north": 30}))


def test_shipments_are_arrows_as_wide_as_the_root_of_their_units():
    one, four = (pixels(drawn(PAIR, ask={"mill_to_south": units}), REPLENISHMENT) for units in (0.5, 2))
    assert pixels(drawn(PAIR), REPLENISHMENT) < one < four
    assert pixels(drawn(PAIR), TRANSFER) < pixels(drawn(PAIR, ask={"north_to_south": 4}), TRANSFER)
    assert "4" in texts(drawn(PAIR, ask={"north_to_south": 4}))


def test_what_is_at_its_capacity_is_marked_and_what_is_owed_is_written():
    def marks(figure: Figure) -> int:
        return sum(line.get_color() == "black" for line in figure.axes[0].lines)

    assert marks(drawn(PAIR, ask={"mill_to_south": 7, "north_to_south": 4})) == 0
    full = drawn(PAIR, ask={"mill_to_south": 9, "north_to_south": 7})
    assert marks(full) == 2
    assert {"8 of 8", "5 +2 owed"} <= set(texts(full))
    assert marks(drawn(PAIR.replace("storage: 25", "initial_stock: 25, storage: 25"))) == 1


def test_pools_are_bars_with_what_they_carry():
    figure = drawn(
        PAIR + "pools: [{name: trucks, lanes: [north->south], capacity: 4}]", ask={"north_to_south": 9}
    )
    assert {"trucks", "4 of 4"} <= set(texts(figure))


def test_what_an_outage_closes_is_dashed_and_crossed():
    net = network(PAIR + "events: [{kind: outage, targets: [mill, north->south], probability: 0.1}]")
    available = torch.tensor([[0.0], [1.0], [1.0]], dtype=torch.float64)
    state, flows, _ = step(
        net,
        initial_state(net, 1),
        Decision(requests(net)),
        Chance(torch.zeros(1, 2, 1, dtype=torch.float64), available=available),
    )
    closed, opened = (
        draw_network(net, state, flows, "", share) for share in (available, torch.ones_like(available))
    )
    assert "closed" in texts(closed)
    assert "closed" not in texts(opened)
    assert [line.get_marker() for line in closed.axes[0].lines] == ["X"]


def test_what_moves_after_demand_has_a_style_of_its_own():
    both = PAIR.replace("lanes:", "lanes:\n  - {origin: south, destination: north, reactive: true}").replace(
        "storage: 25", "initial_stock: 20"
    )
    assert pixels(drawn(both, demand={"north": 19}), REACTIVE) < pixels(
        drawn(both, demand={"north": 32}), REACTIVE
    )
    assert "12" in texts(drawn(both, demand={"north": 32}))


def test_a_promotion_is_written_on_its_warehouse():
    net = network(PAIR.replace("shortage_cost: 9", "promotion: {max_level: 3}"))
    played = play(net, ask=[{}], demand=[{}], promote=[{"north": 2}])
    assert "promotion 2" in texts(draw_network(net, played.states[0], played.flows[0]))


def test_long_names_are_cut_to_what_a_card_holds():
    long = PAIR.replace("north", "the_northern_distribution_centre")
    assert "the_northern_dis\N{HORIZONTAL ELLIPSIS}" in texts(drawn(long))


# Where places stand


@every_scenario
def test_every_place_has_room_of_its_own(name):
    network = problem_under_test(name).network
    layout = lay_out(network)
    boxes = np.array([layout.box(place) for place in (*network.suppliers, *network.warehouses)])
    left, bottom, right, top = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    assert min(left.min(), bottom.min()) > 0
    assert right.max() < layout.width
    assert top.max() < layout.height
    apart = (
        (left[:, None] > right) | (right[:, None] < left) | (bottom[:, None] > top) | (top[:, None] < bottom)
    )
    assert (apart | np.eye(len(boxes), dtype=bool)).all()


def of_kind(**generated: object) -> dict[str, tuple[float, float]]:
    """Where the places of a generated network stand."""
    kind = {"replenishment": {"lead_time": 1}, "transfer": {"lead_time": 1}} | generated
    return lay_out(problem({"network": kind}).network).centre


def test_a_chain_runs_from_left_to_right():
    across = [
        of_kind(generate="serial", size=4)[place][0]
        for place in ("supplier", "stage_4", "stage_3", "stage_2", "stage_1")
    ]
    assert across == sorted(set(across))


def test_a_grid_stands_as_a_grid_however_its_places_are_named():
    centre = of_kind(generate="grid", rows=3, columns=5)
    for row in range(3):
        assert len({centre[f"warehouse_{row}_{column}"][1] for column in range(5)}) == 1
        across = [centre[f"warehouse_{row}_{column}"][0] for column in range(5)]
        assert across == sorted(across) or across == sorted(across, reverse=True)


def test_a_ring_stands_around_its_supplier():
    centre = of_kind(generate="ring", size=8, fed=0.25)
    around = np.array([centre[f"warehouse_{index}"] for index in range(8)]) - centre["supplier"]
    assert np.allclose(around[:4], -around[4:])


def test_shops_that_help_each_other_stand_around_their_centre():
    centre = of_kind(generate="hub_and_spoke", shops=6, lateral={"lead_time": 1})
    shops = np.array([centre[f"shop_{index}"] for index in range(6)])
    assert (shops.min(0) < centre["centre"]).all()
    assert (shops.max(0) > centre["centre"]).all()
    assert centre["supplier"][0] < shops[:, 0].min()


def test_large_networks_are_chips_then_dots_and_the_largest_stand_in_rows():
    def style(**generated: object) -> str:
        kind = {"replenishment": {"lead_time": 1}, "transfer": {"lead_time": 1}} | generated
        return lay_out(problem({"network": kind}).network).style

    assert [style(generate="ring", size=size) for size in (20, 60, 120)] == ["card", "chip", "dot"]
    globe = of_kind(generate="grid", rows=21, columns=21, wrapped=True)
    assert len({y for _, y in globe.values()}) < 21


# Films, files and windows


@every_scenario
def test_a_picture_is_as_large_at_every_step_and_a_closed_env_stays_sane(name):
    env = parallel_env(problem_under_test(name), render_mode="rgb_array")
    env.reset(seed=0)
    begun = env.render()
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    env.close()
    assert env.render().shape == begun.shape
    assert not np.array_equal(env.render(), begun)
    assert env.reset(seed=0)[0].keys() == set(env.agents)


def test_a_film_has_a_picture_of_every_period(tmp_path):
    made = problem(PAIR + "demand: {kind: known, values: [1, 9, 2, 40]}", torch.float32)
    path = drawing.render(made, StandingStill(), tmp_path / "made" / "film.gif", period=4)
    film = Image.open(path)
    frames = []
    for index in range(film.n_frames):
        film.seek(index)
        frames.append(np.asarray(film.convert("RGB")))
    assert len(frames) == 4
    assert not any(np.array_equal(one, other) for one, other in pairwise(frames))
    assert film.info["duration"] == 250


class StandingStill:
    name = knows = "nothing"

    def start(self, network, replications):
        return None

    def act(self, view, memory):
        return Decision(torch.zeros(1, len(view.network.lanes), view.known.replications)), memory


def test_what_cannot_be_drawn_is_refused_in_words(tmp_path):
    made = problem(PAIR, torch.float32)
    for path, period, message in (
        ("film.mp4", 2, r"film.mp4: ends in .mp4; give .gif, .png, .svg or .pdf"),
        ("film", 2, r"film: ends in nothing; give .gif"),
        ("film.gif", 7, r"period is 7; give 1 to 6, the length of an episode"),
        ("film.gif", 0, r"period is 0; give 1 to 6"),
    ):
        with pytest.raises(InputError, match=message):
            drawing.render(made, StandingStill(), tmp_path / path, period=period)
    with pytest.raises(InputError, match=r"film.gif: would hold no pictures; give at least one"):
        drawing.animate([], tmp_path / "film.gif")
    (tmp_path / "taken").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(InputError, match=r"film.gif: cannot be written"):
        drawing.animate([PLAIN], tmp_path / "taken" / "film.gif")
    with pytest.raises(InputError, match=r"last.png: cannot be written .*; give another place"):
        drawing.render(made, StandingStill(), tmp_path / "taken" / "last.png", period=1)


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "last.svg").write_text("the one before", encoding="utf-8")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"last.svg: cannot be written \(No space left on device\)"):
        drawing.render(problem(PAIR, torch.float32), StandingStill(), tmp_path / "last.svg", period=1)
    assert [(file.name, file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()] == [
        ("last.svg", "the one before")
    ]


def test_the_command_line_writes_pictures(tmp_path, monkeypatch, capsys):
    for name in ("after_30.png", "after_30.svg"):
        monkeypatch.setattr(
            sys,
            "argv",
            ["marl-inv", "render", "two_warehouses", "--period", "30", "--out", str(tmp_path / name)],
        )
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        assert capsys.readouterr().out.strip().endswith(name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_human_shows_a_window_where_there_is_a_screen_and_prints_where_there_is_none(monkeypatch, capsys):
    env = parallel_env(problem(PAIR), render_mode="human")
    monkeypatch.setattr(drawing, "open_window", lambda title: None)
    env.reset(seed=0)
    assert "north" in capsys.readouterr().out

    shown, closed = [], []
    figure = Figure(figsize=(2, 2))
    window = drawing.Window(
        figure,
        lambda seconds: shown.append(figure.axes[0].images[0].get_array().copy()),
        lambda: closed.append(True),
    )
    monkeypatch.setattr(drawing, "open_window", lambda title: window)
    env = parallel_env(problem(PAIR), render_mode="human")
    env.reset(seed=0)
    env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    assert not capsys.readouterr().out
    assert len(shown) == 2
    assert not np.array_equal(*shown)
    assert np.array_equal(shown[1], as_array(env))
    env.close()
    env.close()
    assert closed == [True]


def as_array(env: WarehouseEnv) -> np.ndarray:
    env.render_mode = "rgb_array"
    return env.render()


def test_without_a_screen_there_is_no_window(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    assert drawing.open_window("nowhere") is None
    assert not plt.get_fignums()


def test_the_picture_in_the_repository_is_small():
    pictures = list((Path(__file__).resolve().parents[2] / "results" / "pictures").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 150_000 for picture in pictures)
