from __future__ import annotations

import dataclasses

import pytest

from mcofa.accuracy.predictor import Predictor
from mcofa.boards import Board, load_board
from mcofa.errors import BudgetError, TimeLimitError
from mcofa.search import Budget, Found, board_budget, search
from mcofa.search.deadline import Deadline
from mcofa.search.fleet import BoardAnswer, fleet_boards, search_boards, smallest_board
from mcofa.space.search_space import SearchSpace


def test_boards_come_in_the_order_of_their_arena() -> None:
    budgets = [board.arena_budget_bytes for board in fleet_boards()]
    assert budgets == sorted(budgets)
    assert len(budgets) >= 5


@pytest.fixture(scope="module")
def boards() -> list[Board]:
    """Three boards that differ in what is reserved: too small, just enough, plenty."""
    board = load_board("stm32f103")
    spare = board.arena_budget_bytes
    return [
        dataclasses.replace(
            board,
            name=name,
            reserved=dataclasses.replace(
                board.reserved, stack_bytes=board.reserved.stack_bytes + spare - left
            ),
        )
        for name, left in (("none", 1_024), ("tight", 8_192), ("roomy", 16_384))
    ]


@pytest.fixture(scope="module")
def answers(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, boards: list[Board]
) -> list[BoardAnswer]:
    def find(board: Board) -> Found:
        return search(tiny_space, board, board_budget(board), synthetic_predictor, 0)

    return list(search_boards(boards, board_budget, find))


def test_one_answer_a_board(answers: list[BoardAnswer]) -> None:
    assert [answer.board.name for answer in answers] == ["none", "tight", "roomy"]
    nothing, tight, roomy = answers
    assert nothing.found is None
    assert "the budget is 1,024 B" in str(nothing.refusal)
    assert tight.found is not None
    assert roomy.found is not None
    assert tight.budget == Budget(8_192, tight.budget.flash_bytes)
    assert tight.found.cost.arena_bytes <= 8_192 < roomy.found.cost.arena_bytes
    assert tight.found.top1_percent < roomy.found.top1_percent


def test_the_smallest_board_is_the_first_that_will_do(answers: list[BoardAnswer]) -> None:
    chosen, too_small = smallest_board(answers)
    assert chosen.board.name == "tight"
    assert [answer.board.name for answer in too_small] == ["none"]


def test_no_board_is_searched_beyond_the_first_that_will_do(boards: list[Board]) -> None:
    def fail(board: Board) -> Found:
        if board.name == "tight":
            return Found((), 0, True, False)
        raise BudgetError(f"{board.name} is too small", "buy another")

    searched = iter(search_boards(boards, board_budget, fail))
    assert smallest_board(searched)[0].board.name == "tight"
    assert next(searched).board.name == "roomy"


def test_when_no_board_will_do_the_largest_says_why(boards: list[Board]) -> None:
    def fail(board: Board) -> Found:
        raise BudgetError(f"{board.name} is too small", "buy another")

    with pytest.raises(BudgetError, match="none of 3 boards will do; the largest, roomy: roomy is too small"):
        smallest_board(search_boards(boards, board_budget, fail))


def test_boards_are_not_searched_after_the_deadline(boards: list[Board]) -> None:
    def fail(board: Board) -> Found:
        raise AssertionError("searched")

    answers = list(search_boards(boards, board_budget, fail, Deadline(5, started=-1e9)))
    assert [answer.board.name for answer in answers] == ["none", "tight", "roomy"]
    with pytest.raises(TimeLimitError, match="the time limit of 5 s ended before none was searched"):
        smallest_board(answers)


def test_no_board_is_the_smallest_while_a_smaller_one_may_do(boards: list[Board]) -> None:
    def find(board: Board) -> Found:
        if board.name == "tight":
            raise TimeLimitError("out of time on tight", "give more")
        if board.name == "none":
            raise BudgetError("none is too small", "buy another")
        return Found((), 0, True, False)

    with pytest.raises(TimeLimitError, match="out of time on tight"):
        smallest_board(search_boards(boards, board_budget, find))
