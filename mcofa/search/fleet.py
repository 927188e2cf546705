"""One supernet for many boards: what each of them gets, and which is the smallest that is good enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mcofa.boards import Board, board_names, load_board
from mcofa.errors import BudgetError, TimeLimitError
from mcofa.search.budget import Budget
from mcofa.search.deadline import NEVER, Deadline
from mcofa.search.found import Found
from mcofa.search.refusal import more_time


@dataclass(frozen=True)
class BoardAnswer:
    """What a search found for one board, or why it found nothing."""

    board: Board
    budget: Budget
    found: Found | None
    refusal: BudgetError | None


def fleet_boards() -> list[Board]:
    """Return every board that mcofa knows, those with the least memory for an arena first."""
    boards = [load_board(name) for name in board_names()]
    return sorted(boards, key=lambda board: (board.arena_budget_bytes, board.flash_budget_bytes, board.name))


def search_boards(
    boards: Sequence[Board],
    budget_of: Callable[[Board], Budget],
    search_board: Callable[[Board], Found],
    deadline: Deadline = NEVER,
) -> Iterator[BoardAnswer]:
    """Yield one answer a board, in their order; a board on which nothing fits keeps its refusal.

    Boards whose turn comes after the deadline are not searched.
    """
    for board in boards:
        try:
            if deadline.passed:
                raise TimeLimitError(
                    f"the time limit of {deadline.seconds:g} s ended before {board.name} was searched",
                    more_time(deadline),
                )
            yield BoardAnswer(board, budget_of(board), search_board(board), None)
        except BudgetError as refusal:
            yield BoardAnswer(board, budget_of(board), None, refusal)


def smallest_board(answers: Iterable[BoardAnswer]) -> tuple[BoardAnswer, list[BoardAnswer]]:
    """Return the first answer that found something, and those before it; the smallest boards come first.

    Raises:
        BudgetError: there is none; says what the last board lacks.
        TimeLimitError: the time limit left open whether a board will do.
    """
    refused: list[BoardAnswer] = []
    for answer in answers:
        if answer.found is not None:
            return answer, refused
        if isinstance(answer.refusal, TimeLimitError):
            raise answer.refusal
        refused.append(answer)
    last = refused[-1]
    assert last.refusal is not None
    raise BudgetError(
        f"none of {len(refused)} boards will do; the largest, {last.board.name}: {last.refusal.problem}",
        last.refusal.next_step,
    )
