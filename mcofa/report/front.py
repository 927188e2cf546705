"""The Pareto front on the page of a run."""

from __future__ import annotations

from dataclasses import dataclass

from mcofa.cost.measures import MEASURES
from mcofa.errors import McofaError
from mcofa.runs.run import Run
from mcofa.search.front_files import as_svg, svg_of_csv
from mcofa.search.recorded_front import recorded_front

_SECONDS = 5.0


@dataclass(frozen=True)
class PageFront:
    """A picture drawn here, empty where none can be drawn, and what to say of it."""

    svg: str
    words: str


def page_front(run: Run) -> PageFront:
    """Return the front that the search wrote, drawn anew; else a quick one; else why there is none."""
    try:
        if pareto := run.search.pareto:
            measures = pareto.measures
            text = run.read(pareto.csv, "search").decode(errors="replace")
            chosen = run.search.predicted
            predicted = chosen.model_dump() if chosen else {}
            svg = svg_of_csv(text, measures, predicted, str(run.folder / pareto.csv.file))
        else:
            front, candidate = recorded_front(run, _SECONDS)
            measures, svg = front.measures, as_svg(front, candidate)
    except McofaError as error:
        return PageFront("", f"Not drawn: {error.problem}.")
    *others, last = (MEASURES[name].label for name in measures)
    beaten = f"beats one of the front in {', '.join(others)} and {last} together"
    return PageFront(svg, f"Subnets within the limits: none that was tried {beaten}.")
