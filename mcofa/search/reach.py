"""Whether a space reaches an accuracy at all, whatever its archs may cost."""

from __future__ import annotations

from mcofa.accuracy.predictor import Predictor
from mcofa.errors import BudgetError
from mcofa.search.budget import Budget
from mcofa.search.deadline import Deadline
from mcofa.search.evolve import search
from mcofa.search.refusal import min_top1_option
from mcofa.space.search_space import SearchSpace


def refuse_out_of_reach(
    space: SearchSpace,
    predictor: Predictor,
    min_top1_percent: float,
    seed: int,
    deadline: Deadline,
) -> None:
    """Refuse an accuracy that no arch of the space is predicted to have, as then no board can help.

    As a rule the largest arch has it, and nothing is searched.

    Raises:
        BudgetError: names the best accuracy that the space reaches.
    """
    largest = space.encode([space.largest()])
    if predictor.predict(space, largest).top1_percent[0] >= min_top1_percent:
        return
    best = search(space, None, Budget(), predictor, seed, deadline=deadline)
    if best.stopped_early or best.top1_percent >= min_top1_percent:
        return
    raise BudgetError(
        f"no arch of {space.name} is predicted to reach {min_top1_percent:g} %, whatever the board and the "
        f"limits: the best reaches {best.top1_percent:.2f} %",
        f"ask for {min_top1_option(best.top1_percent)} and fine-tune what is found (`mcofa finetune`), "
        "or take another space (`mcofa spaces`)",
    )
