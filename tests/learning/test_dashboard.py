"""What TensorBoard shows of a run: the page it opens on, curves by warehouse, histograms, flows, and settings
by which runs are sorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from marl_inv.episodes.problem import load_problem
from marl_inv.learning.checkpoint import BASELINE_EVENTS, BOUND_EVENTS
from marl_inv.learning.dashboard import BEST, bound
from marl_inv.learning.runs import run_training, training_settings
from marl_inv.scenario import load_scenario

SMALL = {
    "decisions": 2_000,
    "decisions_per_update": 500,
    "validations": 2,
    "validation_replications": 4,
    "hidden": 8,
    "model": "mlp",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("run")
    scenario = load_scenario("ring_transshipment", ["horizon=20", "warm_up=5"])
    _, trained = run_training(
        scenario, training_settings(**SMALL, algorithm="mappo", start="newsvendor"), folder / "it"
    )
    return folder / "it", trained.percent_over_baseline


def shown(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_the_page_it_opens_on_asks_for_curves_that_are_there(run: tuple[Path, float]):
    events = shown(run[0])
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    tags = {
        chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart
    }
    assert tags["percent better than tuned order-up-to"] == ["test/percent_over_baseline"]
    assert tags["fill rate by warehouse"] == [f"^fill_rate/warehouse_{n}$" for n in range(6)]
    scalars = set(events.Tags()["scalars"])
    assert {
        "test/percent_over_baseline",
        "test/money/cost",
        *(f"on_hand/warehouse_{n}" for n in range(6)),
    } <= scalars


def test_curves_by_warehouse_are_those_of_the_validations(run: tuple[Path, float]):
    events = shown(run[0])
    by_warehouse = [[event.value for event in events.Scalars(f"on_hand/warehouse_{n}")] for n in range(6)]
    total = [event.value for event in events.Scalars("test/units/on_hand")]
    assert len(total) == 3
    np.testing.assert_allclose(np.sum(by_warehouse, 0), total, rtol=1e-5)


def test_what_was_chosen_and_how_good_it_was_are_histograms_and_the_network_is_drawn(run: tuple[Path, float]):
    tags = shown(run[0]).Tags()
    assert set(tags["histograms"]) == {"actions", "advantages"}
    assert tags["images"] == ["average flows at the last validation"]
    assert {"scenario/text_summary", "training/text_summary"} <= set(tags["tensors"])


def test_runs_are_sorted_by_their_settings_and_what_came_of_them(run: tuple[Path, float]):
    events = shown(run[0])
    assert [event.value for event in events.Scalars(BEST)] == pytest.approx([run[1]], abs=1e-4)
    data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"algorithm" in data
    assert b"hidden" in data


def test_the_baseline_and_the_bound_are_level_lines(run: tuple[Path, float]):
    cost = {
        name: [event.value for event in shown(run[0] / name).Scalars("test/money/cost")]
        for name in (BASELINE_EVENTS, BOUND_EVENTS)
    }
    least = bound(load_problem("ring_transshipment", ["horizon=20", "warm_up=5"]))
    assert cost[BOUND_EVENTS] == pytest.approx([least, least], rel=1e-5)
    assert cost[BASELINE_EVENTS][0] == cost[BASELINE_EVENTS][1] > least
    assert bound(load_problem("storage_bound")) is not None
    assert bound(load_problem("hub_and_spoke")) is None


def test_a_run_that_comes_to_nothing_ends_all_the_same(tmp_path: Path):
    """Its best policy is the one that it began with."""
    settings = SMALL | {"lr": 1e12, "optimizer": "adam", "max_grad_norm": 1e12}
    scenario = load_scenario("two_warehouses", ["horizon=10", "warm_up=0"])
    _, trained = run_training(
        scenario, training_settings(**settings, algorithm="mappo", start="newsvendor"), tmp_path / "it"
    )
    events = shown(tmp_path / "it")
    assert np.isnan([event.value for event in events.Scalars("test/percent_over_baseline")][-1])
    assert np.isfinite(trained.percent_over_baseline)
