"""An experiment's report: one page that explains itself, with everything in it, and the same as Markdown, CSV
and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure
from rich.table import Table

from marl_inv.common.errors import InputError
from marl_inv.common.files import make_folder, write_whole
from marl_inv.common.progress import Progress, silently
from marl_inv.drawing.layout import lay_out
from marl_inv.drawing.picture import draw_scene
from marl_inv.drawing.scene import Scene
from marl_inv.episodes.problem import Problem
from marl_inv.evaluation.statistics import Interval
from marl_inv.evaluation.tables import headed_table, latex
from marl_inv.experiments.results import Judged, Outcome, Results, grid_tables
from marl_inv.report import findings, measurements, pictures
from marl_inv.report.csv_tables import samples_csv, tables_csv
from marl_inv.report.findings import Together
from marl_inv.report.html import Block, Picture, Section, html, page_markdown
from marl_inv.report.measurements import PLANS
from marl_inv.scenario import Scenario

MOST_MISSING = 12
"""Cells that are named when some are not there."""


Value = TypeVar("Value")


def write_report(results: Results, out: Path | None = None, progress: Progress = silently) -> list[Path]:
    """Write report.html, report.md, tables.csv, samples.csv and tables.tex into `out`, by default the folder
    of the results."""
    folder = out or results.folder
    title = results.folder.resolve().name
    sections = report(results, progress)
    tables = [block for section in sections for block in section.blocks if isinstance(block, Table)]
    contents = {
        "report.html": html(title, sections),
        "report.md": page_markdown(title, sections),
        "tables.csv": tables_csv(results),
        "samples.csv": samples_csv(results),
        "tables.tex": "% with \\usepackage{booktabs}\n\n" + "\n\n".join(map(latex, tables)) + "\n",
    }
    make_folder(folder)
    for name, text in contents.items():
        write_whole(folder / name, text, "give another --out")
    return [folder / name for name in contents]


# What is told


def report(results: Results, progress: Progress = silently) -> list[Section]:
    look, every = pictures.looks(results), findings.together(results)
    many = len(results.scenarios()) > 1
    sections = [_opening(results), _found(results, every if many else [])]
    if many and every:
        sections.append(_together(results, every, look))
    tables = grid_tables(results)
    pairs = list(zip(results.judged.values(), tables, strict=True))
    sections += [_scenario(judged, table, look) for judged, table in progress(pairs, "reporting")]
    return [*sections, _methods(results)]


def _opening(results: Results) -> Section:
    experiment = results.experiment
    samples = list(
        dict.fromkeys(f"{outcome.samples.shape[1]} {outcome.units}" for outcome in results.outcomes)
    )
    revisions = sorted(
        {revision for outcome in results.outcomes for revision in outcome.revisions if revision}
    )
    seeds = sorted({seed for outcome in results.outcomes if outcome.trained for seed in outcome.seeds})
    compared = [
        f"Scenarios: {'; '.join(f'{name} ({judged.problem.description})' for name, judged in results.judged.items())}",
        f"Policies: {', '.join(results.policies())}; compared with {experiment.reference}",
        f"Training seeds: {', '.join(map(str, seeds))}"
        if seeds
        else "Nothing was trained, so there are no training seeds",
        f"Evaluated on: {' or '.join(samples)}, the same for every policy",
        (
            "Computed with marl_inv "
            f"{version('marl_inv')}{', revision' * bool(revisions)}{'s' * (len(revisions) > 1)} "
            f"{', '.join(revisions)}"
        ).rstrip(),
    ]
    blocks: list[Block] = [experiment.description] if experiment.description else []
    if results.missing:
        named = "; ".join(results.missing[:MOST_MISSING])
        more = len(results.missing) - MOST_MISSING
        blocks.append(
            f"Not complete: {len(results.missing)} cell{'s are' if len(results.missing) > 1 else ' is'} "
            f"missing ({named}{f'; and {more} more' if more > 0 else ''}). "
            "What follows is of those that are there; marl-inv run with the same experiment and folder "
            "computes the rest."
        )
    blocks += [
        f"On {name}, {experiment.reference} is missing; gains are over {judged.reference.policy}."
        for name, judged in results.judged.items()
        if judged.reference.policy != experiment.reference
    ]
    return Section("What was compared", [*blocks, compared])


def _found(results: Results, every: Sequence[Together]) -> Section:
    told = [f"{name}: {' '.join(findings.found_on(judged))}" for name, judged in results.judged.items()]
    overall = findings.found_together(every, results.experiment.reference)
    return Section("What was found", [told, *([overall] if overall else [])])


def _together(results: Results, every: Sequence[Together], look: dict[str, pictures.Look]) -> Section:
    reference = results.experiment.reference
    thresholds, shares = findings.profiles(every)
    means, chances = {each.policy: each.gain for each in every}, {each.policy: each.chance for each in every}
    caption = (
        f"Scenarios on which the policy is told to be better or worse than {reference} (5%, after Holm "
        "within each). Gain: interquartile mean over scenarios and "
        "seeds. Chance: that a seed does better than the reference on a scenario at random. In brackets 95% "
        "bootstrap intervals over seeds and traces."
    )
    table = headed_table(
        "All scenarios together", "policy", ["scenarios", "better", "worse", "gain %", "chance %"], caption
    )
    for each in every:
        counts = map(str, (each.scenarios, each.better, each.worse))
        table.add_row(
            each.policy, *counts, _bracketed(each.gain, "+z.1f"), _bracketed(each.chance.times(100.0), ".0f")
        )
    return Section(
        "All scenarios together",
        [
            table,
            Picture(
                pictures.matrix(results),
                f"Who wins where: gain over {reference} in percent of its result. Bold: told from 0 (5%, "
                "after Holm over the scenario's gains); n.s.: not told from 0. Purple is better, orange "
                "worse.",
            ),
            Picture(
                pictures.together_of(means, chances, look, reference),
                "Left, the gain as the mean of the middle half of all scenarios and seeds; right, how "
                "probable it is that a seed does better than the reference on a scenario at random. "
                "Bars are 95% bootstrap intervals over seeds and traces; hollow marks are not told from the "
                "line.",
            ),
            Picture(
                pictures.profiles_of(shares, thresholds, look, reference),
                "Performance profile: the share of scenarios and seeds on which a policy gains more than so "
                "many percent. A curve further to the right and above is better; where it crosses the "
                "dashed line is how often it does better than the reference.",
            ),
        ],
    )


def _bracketed(interval: Interval, shape: str) -> str:
    return f"{interval.mean:{shape}} ({interval.low:{shape}} to {interval.high:{shape}})"


def _scenario(judged: Judged, table: Table, look: dict[str, pictures.Look]) -> Section:
    outcomes, reference = judged.outcomes, judged.reference
    problem, lack = _tried(lambda: Problem.of(reference.problem))
    blocks: list[Block] = [_described(reference.problem), " ".join(findings.found_on(judged)), table]
    blocks.append(
        Picture(
            pictures.results_of(judged, look),
            f"Left, what each policy {'costs' if reference.problem.measured == 'cost' else 'earns'}, with "
            "95% intervals, which all policies' luck widens alike; right, the difference to "
            f"{reference.policy} on the same "
            "traces, where that luck cancels out. Right of the line is better; hollow marks are not told "
            "from 0 (5%, after Holm).",
        )
    )
    if figure := pictures.parts_of(outcomes, reference):
        blocks.append(
            Picture(
                figure,
                "Left, every kind of "
                f"cost{'' if reference.problem.measured == 'cost' else ' (left of 0) and of income (right of 0)'} that the objective counts, mean over seeds and traces. "
                f"Right, where the difference to {reference.policy} comes from: bars to the right are saved "
                "or earned, bars to the left are paid for it.",
            )
        )
    if problem is None:
        return Section(judged.scenario, [*blocks, f"What has to be played again is left out: {lack}"])
    far, _ = _tried(lambda: measurements.how_far(problem, outcomes))
    blocks.insert(
        2,
        far
        or "How far that is from the best possible would take a linear programme that is too large for a "
        "report.",
    )
    return Section(judged.scenario, [*blocks, *_played(problem, judged, look)])


def _described(scenario: Scenario) -> str:
    counts = {
        "warehouse": len(scenario.warehouses),
        "supplier": len(scenario.suppliers),
        "lane": len(scenario.lanes),
        "product": len(scenario.product_list),
    }
    size = ", ".join(f"{count} {thing}{'s' * (count != 1)}" for thing, count in counts.items())
    warm_up = f", the first {scenario.warm_up} of them not scored" if scenario.warm_up else ""
    return (
        f"{scenario.description.rstrip('.')}. {size}; {scenario.horizon} periods{warm_up}; objective "
        f"{scenario.objective}."
    )


def _tried(measure: Callable[[], Value]) -> tuple[Value | None, str]:
    """What was measured, or why it cannot be."""
    try:
        return measure(), ""
    except InputError as error:
        return None, str(error)


def _played(problem: Problem, judged: Judged, look: dict[str, pictures.Look]) -> Iterator[Block]:
    outcomes, reference, best = judged.outcomes, judged.reference, judged.best
    curve, lack = _tried(lambda: measurements.efficiency_curve(problem, reference.samples.shape[1]))
    yield Picture(
        pictures.efficiency_of(outcomes, look, curve),
        "Service against stock: further up serves more, further left holds less. "
        + (
            "The line is plain order-up-to with its newsvendor levels scaled from "
            f"{measurements.CURVE_SCALES[0]:g} to {measurements.CURVE_SCALES[-1]:g} on the same traces; what lies "
            "above it makes more of its stock than any scaling does. "
            if curve is not None
            else f"Without the curve of order-up-to: {lack}. "
        )
        + "Small marks are training seeds, the large one is their mean.",
    )
    curves = {}
    for each in outcomes:
        found, lack = _tried(partial(measurements.learning_curve, problem, each))
        if found is not None:
            curves[each.policy] = found
        elif lack:
            yield f"The learning curve of {each.policy} is left out: {lack}."
    if curves:
        yield Picture(
            pictures.learning_of(curves, look),
            "Learning: what the policy in training earned on validation traces, in percent over tuned "
            "order-up-to (dashed). Lines are means over seeds, bands run from the worst to the best seed. "
            "Evaluation plays, for each seed, the policy that was best here, on other traces.",
        )
    if used := measurements.capacities_used(problem.network, outcomes):
        prices, lack = _tried(lambda: measurements.shadow_prices(problem))
        shown = measurements.telling(used, prices or {})
        told = ""
        if prices:
            told = (
                "Right, the shadow price: what one unit more of it in every period would be worth to "
                f"somebody who knew the future ({PLANS} traces, linear programme); a long bar is a "
                f"bottleneck. {'No price is told of storage. ' * any(name not in prices for name in shown)}"
            )
        idle = (
            f"Left out are {len(used) - len(shown)} others, which are less used or idle. "
            if len(used) > len(shown)
            else ""
        )
        if shown:
            yield Picture(
                pictures.capacities_of(shown, prices, look),
                "Capacities, the scarcest first, and the share of them that is used, on average over "
                f"periods and traces. {told}{idle}{f'No shadow prices: {lack}.' if lack else ''}",
            )
    if figure := _network(problem, best):
        yield Picture(
            figure,
            f"The network under {best.policy}, means per period over all traces and seeds. Arrows are "
            "shipments, as wide as the square root of their units; the pale band is what was asked for; "
            "a warehouse's fill is its stock on hand, next to what is on order (hatched), the red strip the "
            "share of demand not met at once.",
        )
    if all("episode.demand" in each.details for each in (best, reference)):
        compared = [reference] if best is reference else [reference, best]
        warm = (
            f"; the shaded first {problem.scenario.warm_up} periods are not scored"
            if problem.scenario.warm_up
            else ""
        )
        yield Picture(
            pictures.episode_of(compared, look, problem.scenario.warm_up),
            "One episode: the first evaluation trace, whole network, under "
            f"{' and '.join(each.policy for each in compared)} (first seed){warm}. Coloured bars are demand "
            "not met at once.",
        )


def _network(problem: Problem, outcome: Outcome) -> Figure | None:
    network = problem.network
    volume = measurements.carried(network, outcome)
    if volume is None:
        return None
    names = {"shipped": "shipments", "requested": "asked", "owed": "owed", "transshipped": "transshipped"}
    places = {
        key: outcome.details[f"warehouse.{key}"].mean(0).numpy()
        for key in ("on_hand", "backorders", "unmet", "demand")
    }
    lanes = {
        key: outcome.details[f"lane.{name}"].mean(0).numpy()
        for name, key in names.items()
        if f"lane.{name}" in outcome.details
    }
    return draw_scene(
        lay_out(network), Scene.average(network, places, lanes, volume), f"{outcome.policy}, average period"
    )


def _methods(results: Results) -> Section:
    return Section(
        "How to read this",
        [
            [
                "Every policy is played on the same evaluation traces, which neither tuning nor training "
                "has seen. Results are per period, for the whole network, after the warm-up.",
                "Gains are differences on the same traces, positive where the policy is better, for cost "
                "and for profit. 95% intervals count the chance of traces and, where there are several, of "
                "training seeds.",
                "Told from 0: p below 0.05 after Holm's correction for all gains of a scenario's table. "
                "What is not (n.s.) may be equal, or differ by less than this experiment can see.",
                "Bootstrap intervals (all scenarios together) of fewer than about ten seeds are narrower "
                "than they should be; take them as a guide.",
                "Fill rate: units served at once from stock, over units demanded. Moved: units shipped from "
                "warehouse to warehouse per period.",
                "What each policy decides on: "
                + "; ".join(
                    dict.fromkeys(
                        f"{each.policy}: {each.about.get('knows', '')}" for each in results.outcomes
                    )
                )
                + ".",
                "The numbers are in tables.csv with all their digits, those of every seed and trace in "
                "samples.csv, the tables in tables.tex (LaTeX, booktabs) and report.md.",
            ]
        ],
    )
