"""Every exercise: the solution passes, the stub is not attempted, each wrong answer gets its own hint."""

from __future__ import annotations

import ast
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tftutor.config import BlockConfig, EncoderDecoderConfig
from tftutor.exercises import Exercise, Wrong, all_exercises, find_exercise
from tftutor.exercises.encoder_decoder.questions import _swap_goes_unnoticed, count_norms
from tftutor.exercises.engine import examine
from tftutor.exercises.queries_keys_values.score_tables import _prefers_in_a_cycle
from tftutor.exercises.registry import CHAPTERS
from tftutor.exercises.watchdog import patience
from tftutor.layers import LayerNorm
from tftutor.models.encoder_decoder import EncoderDecoder

ALL = all_exercises()
each_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
each_wrong = pytest.mark.parametrize(
    ("exercise", "wrong"),
    [(e, w) for e in ALL for w in e.wrong],
    ids=lambda x: getattr(x, "id", getattr(x, "name", "")),
)


def test_ids_are_unique_and_belong_to_their_chapter() -> None:
    assert len({exercise.id for exercise in ALL}) == len(ALL)
    assert [exercise.id.split("/")[0] for exercise in ALL] == sorted(
        (exercise.id.split("/")[0] for exercise in ALL), key=list(CHAPTERS).index
    )
    assert find_exercise("qkv/attention").label == "ex-qkv-attention"
    with pytest.raises(ValueError, match="did you mean 'qkv/attention'"):
        find_exercise("qkv/atention")
    with pytest.raises(ValueError, match="did you mean"):
        find_exercise("nonsense")
    with pytest.raises(TypeError, match="expected a string"):
        find_exercise(find_exercise)  # type: ignore[arg-type]


def test_every_chapter_predicts_and_breaks() -> None:
    for chapter in CHAPTERS:
        names = [exercise.id.split("/")[1] for exercise in ALL if exercise.id.startswith(f"{chapter}/")]
        assert any(name.startswith("predict-") for name in names), chapter
        assert any(name.startswith("break-") for name in names), chapter


@each_exercise
def test_the_solution_is_right(exercise: Exercise) -> None:
    began = time.process_time()  # a busy machine takes longer, but not more processor time
    report = examine(exercise, exercise.solution, seconds=20)
    assert time.process_time() - began < 2
    assert report.status == "right", str(report)
    assert exercise.notice in str(report)


@each_exercise
def test_the_stub_is_not_attempted(exercise: Exercise) -> None:
    namespace: dict[str, Any] = {}
    source = "from __future__ import annotations\n" + exercise.stub()
    ast.parse(source)
    exec(source, namespace)  # noqa: S102 - the cell of the notebook
    report = examine(exercise, namespace[exercise.answer])
    assert report.status == "not attempted"
    assert repr(report) == f"○ {exercise.id}: not attempted yet"


@each_wrong
def test_a_wrong_answer_gets_exactly_its_own_hint(exercise: Exercise, wrong: Wrong) -> None:
    began = time.perf_counter()
    report = examine(exercise, wrong.answer)
    assert time.perf_counter() - began < 2 * patience()
    assert report.status == "wrong"
    assert report.hint == wrong.hint, str(report)
    others = {other.hint for other in exercise.wrong} - {wrong.hint}
    assert not any(hint in str(report) for hint in others)


@each_exercise
def test_hints_differ_and_do_not_give_the_code_away(exercise: Exercise) -> None:
    hints = [wrong.hint for wrong in exercise.wrong] + [prop.hint for prop in exercise.properties if prop.hint]
    assert len(set(hints)) == len(hints)
    for hint in hints:
        assert "dim=" not in hint
        assert "softmax(" not in hint
        assert 30 < len(hint) < 220, hint


@each_exercise
def test_every_property_rejects_a_wrong_answer_by_itself(exercise: Exercise) -> None:
    for prop in exercise.properties:
        alone = dataclasses.replace(exercise, properties=(prop,))
        assert any(examine(alone, wrong.answer).status == "wrong" for wrong in exercise.wrong), prop.sentence


def _off_by_a_little(solution: Callable[..., Any]) -> Callable[..., Any]:
    def mutant(*args: Any) -> Any:
        result = solution(*args)
        if isinstance(result, Tensor) and result.dtype == torch.bool:
            return result ^ (torch.arange(result.numel()).view(result.shape) == result.numel() - 1)
        if isinstance(result, Tensor):
            return result + 0.02 * (torch.arange(result.numel()).view(result.shape) == 0)
        return not result if isinstance(result, bool) else result + 1

    return mutant


@pytest.mark.parametrize("exercise", [e for e in ALL if e.takes == "function"], ids=lambda exercise: exercise.id)
def test_a_slip_that_nobody_listed_is_found_and_gets_no_listed_hint(exercise: Exercise) -> None:
    report = examine(exercise, _off_by_a_little(exercise.solution))
    assert report.status == "wrong"
    assert report.hint
    assert report.hint not in {wrong.hint for wrong in exercise.wrong}


@each_exercise
def test_cases_are_the_same_each_time_and_grow(exercise: Exercise) -> None:
    torch.manual_seed(1)
    first = [case.label for case in exercise.build_cases()]
    torch.manual_seed(2)
    assert [case.label for case in exercise.build_cases()] == first


@pytest.mark.parametrize("exercise_id", ["qkv/attention", "encoder-decoder/cross-attention"])
def test_sizes_that_meet_are_pairwise_different_somewhere(exercise_id: str) -> None:
    exercise = find_exercise(exercise_id)
    assert any(
        len({size for arg in case.args[:2] for size in arg.shape}) == len({*case.args[0].shape, *case.args[1].shape})
        and case.args[0].shape[-2] != case.args[1].shape[-2]
        for case in exercise.build_cases()
    )


def test_other_right_ways_to_write_attention_are_accepted() -> None:
    exercise = find_exercise("qkv/attention")

    def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = []
        for query in q:
            shares = torch.stack([(query * key).sum() for key in k]) * len(query) ** -0.5
            shares = (shares - shares.max()).exp()
            rows.append(sum(share * value for share, value in zip(shares / shares.sum(), v, strict=True)))
        return torch.stack(rows)

    assert examine(exercise, by_hand)
    assert examine(exercise, torch.nn.functional.scaled_dot_product_attention)
    assert examine(exercise, lambda q, k, v: torch.einsum("ts,sd->td", (q @ k.mT * q.size(1) ** -0.5).softmax(1), v))


def test_any_exact_w_q_is_accepted() -> None:
    exercise = find_exercise("qkv/design-w-q")
    for side in (0, 7):
        for first in (5.0, 0.0, -1.0):
            w_q = [[side, first, 0], [-side, -first, 0], [-side / 2, (5 - first) / 2, 0]]
            assert examine(exercise, torch.tensor(w_q))
            assert examine(exercise, w_q)
    assert not examine(exercise, [[0, 1, 0], [0, -1, 0], [1, 2, 0]])
    assert not examine(exercise, [[0, 1, 0], [0, 1, 0], [0, 2, 0]])
    assert not examine(exercise, [[0, 1, 0], [0, 0, 0]])
    assert not examine(exercise, [[0, 1, 0], [0]])


def test_a_cycle_of_preferences_contradicts_symmetry() -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (3, 4, 5):
        table = torch.randn(n, n, generator=generator)
        assert not _prefers_in_a_cycle(table + table.T)
    assert _prefers_in_a_cycle(torch.tensor([[1.0, 0.9, 0.2], [0.2, 1.0, 0.9], [0.9, 0.2, 1.0]]))


def test_the_count_of_norms_is_that_of_the_model() -> None:
    for n_enc, n_dec, final_norm, order in ((1, 2, True, "pre"), (3, 1, False, "post")):
        block = BlockConfig(d_model=4, n_heads=2, d_ff=6, norm_order=order)
        cfg = EncoderDecoderConfig(block=block, src_vocab_size=5, tgt_vocab_size=7, n_encoder_layers=n_enc,
                                   n_decoder_layers=n_dec, final_norm=final_norm)  # fmt: skip
        norms = [module for module in EncoderDecoder(cfg).modules() if isinstance(module, LayerNorm)]
        assert len(norms) == count_norms(n_enc, n_dec, final_norm)


def test_swapped_masks_go_unnoticed_exactly_when_lengths_are_equal_and_longer_than_one() -> None:
    exercise = find_exercise("encoder-decoder/break-swapped-masks")
    case = exercise.build_cases()[0]
    for n_src in range(1, 6):
        for n_tgt in range(1, 6):
            unnoticed = _swap_goes_unnoticed(exercise.trial((n_src, n_tgt), case)) is None
            assert unnoticed == (n_src == n_tgt > 1), (n_src, n_tgt)


def test_a_log_softmax_taken_twice_is_right_and_gets_a_remark() -> None:
    exercise = find_exercise("encoder-decoder/generator")
    for flag in exercise.flags:
        report = examine(exercise, flag.example)
        assert report.status == "right"
        assert flag.remark in str(report)
        assert flag.remark not in str(examine(exercise, exercise.solution))
