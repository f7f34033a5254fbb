"""Tasks as text: spans there and back, the written form, what counts as right, training on all tasks at once."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tftutor.cli.common import load_speller
from tftutor.data.spans import SENTINELS, corrupt_spans, random_spans, restore_spans
from tftutor.data.stress import Facts, Lexicon, count_syllables, rhyme_part, stressed_syllable
from tftutor.data.text_to_text import LONGEST, TEXT, TextError, kind_of, prompt, text_rows, to_symbols, to_text
from tftutor.data.word_tasks import TASKS, Question, Questions, filled, is_right, one_gap, sampled
from tftutor.prompting import answer, answers
from tftutor.serialization import build_model, load
from tftutor.training.text_to_text import (
    WORDS_T5_RECIPES,
    TextToTextTask,
    encode,
    score_task,
    words_t5_config,
)


def facts(word: str, *pronunciations: str) -> Facts:
    listed = [tuple(each.split()) for each in pronunciations]
    plain = tuple(dict.fromkeys(tuple(sound.rstrip("012") for sound in each) for each in listed))
    return Facts(word, plain, frozenset(map(count_syllables, listed)),
                 frozenset({stressed_syllable(each) for each in listed} - {None}),
                 frozenset({rhyme_part(each) for each in listed} - {None}))  # fmt: skip


LEXICON = Lexicon.of([
    facts("about", "AH0 B AW1 T"), facts("shout", "SH AW1 T"), facts("scout", "S K AW1 T"),
    facts("read", "R IY1 D", "R EH1 D"), facts("red", "R EH1 D"), facts("water", "W AO1 T ER0"),
    facts("a", "AH0"), facts("hm", "HH M"),
])  # fmt: skip


def tiny(seed: int = 0):
    torch.manual_seed(seed)
    return build_model(words_t5_config(d_model=16, n_heads=2, d_head=5, d_ff=24)).eval()


# ---- spans


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=14), st.data())
def test_what_was_taken_apart_can_be_put_together(symbols, data):
    hidden = data.draw(st.lists(st.booleans(), min_size=len(symbols), max_size=len(symbols)))
    gapped = corrupt_spans(symbols, hidden)
    assert restore_spans(*gapped) == symbols
    marks = [symbol for symbol in gapped.inputs if symbol in SENTINELS]
    assert marks == list(SENTINELS[: len(marks)])
    assert [symbol for symbol in gapped.targets if symbol in SENTINELS] == list(SENTINELS[: len(marks) + 1])
    shown = [symbol for symbol in gapped.inputs if symbol not in SENTINELS]
    assert shown == [symbol for symbol, hide in zip(symbols, hidden, strict=True) if not hide]


def test_neighbours_form_one_span():
    assert corrupt_spans("abcd", [0, 1, 1, 0]) == (["a", "<0>", "d"], ["<0>", "b", "c", "<1>"])
    assert corrupt_spans("abcd", [1, 0, 1, 0]).inputs == ["<0>", "b", "<1>", "d"]
    with pytest.raises(ValueError, match="one for each of 4"):
        corrupt_spans("abcd", [1, 0])
    with pytest.raises(ValueError, match="at most 9 spans"):
        corrupt_spans("ab" * 10, [0, 1] * 10)


@pytest.mark.parametrize(
    "targets", ["<0> o o", "<1> o <2>", "o <0> o <1>", "<0> o <1> l", "<1> o <0>", "<0> o <0>", ""]
)
def test_answers_that_do_not_fit_are_refused(targets):
    with pytest.raises(ValueError, match=r"targets: expected <0> \.\.\. <1>"):
        restore_spans(["s", "c", "h", "<0>", "l"], targets.split())


def test_inputs_with_foreign_sentinels_are_refused():
    with pytest.raises(ValueError, match="inputs"):
        restore_spans(["<1>"], ["<0>", "<1>"])


def test_all_ways_to_hide_are_equally_likely():
    rng = random.Random(0)
    seen = Counter(tuple(random_spans(5, 3, 2, rng)) for _ in range(3000))
    assert len(seen) == 6
    assert all(mask.count(True) == 3 for mask in seen)
    assert max(seen.values()) < 1.3 * min(seen.values())
    for wrong in ((5, 3, 4), (5, 4, 3), (5, 2, 0)):
        with pytest.raises(ValueError, match="n_spans"):
            random_spans(*wrong, rng)


# ---- stress and rhyme


def test_stress_and_rhyme_follow_the_digits():
    assert LEXICON.facts["about"].stress == {2}
    assert LEXICON.facts["hm"].syllables == {0}
    assert LEXICON.facts["a"].stress == frozenset()
    assert LEXICON.rhyming("about") == {"shout", "scout"}
    assert LEXICON.rhyming("read") == {"red"}
    assert LEXICON.rhyming("water") == set()
    assert LEXICON.spellings[("R", "EH", "D")] == ["read", "red"]
    assert stressed_syllable(("AH0", "AE2", "AE1", "EH1")) == 3
    assert rhyme_part(("AE1", "T", "AE1", "D", "ER0")) == ("AE", "D", "ER")


# ---- text


@pytest.mark.parametrize("text", ["pronounce: o'neil-s.", "spell: S K UW L", "fill: s<0>h<1>l", "<0>oo<1>", "12"])
def test_texts_come_back(text):
    assert to_text(to_symbols(text)) == text
    assert len(TEXT.encode(to_symbols(text))) == len(to_symbols(text))


@pytest.mark.parametrize("text", ["é", "School", "spell: S Q", "a\nb", "", "a" * (LONGEST + 1), "<x>", "school?"])
def test_what_cannot_be_written_is_refused_in_one_line(text):
    with pytest.raises(TextError, match=r"^text: expected [^\n]*, got [^\n]*$"):
        to_symbols(text)
    with pytest.raises(TypeError, match="text"):
        to_symbols(7)


def test_capitals_get_advice():
    with pytest.raises(TextError, match="write letters small"):
        to_symbols("pronounce: School")


def test_rows_end_and_are_padded():
    src, valid = text_rows(["ab", "spell: AH"])
    assert src[0, :3].tolist() == [*TEXT.encode("ab"), 2]
    assert valid.sum(dim=1).tolist() == [3, 5]


def test_names_of_tasks_are_one_symbol_where_they_are_prefixes():
    assert to_symbols("fill: a")[:2] == ["fill", ":"]
    assert to_symbols("pronounce: fill")[3:] == list("fill")
    assert to_symbols("fil: a")[:3] == list("fil")
    assert to_symbols("a fill: b")[2:6] == list("fill")


def test_kinds_of_answers():
    assert kind_of("") == "nothing"
    assert kind_of("<0>a") == "mixed"
    assert kind_of("a<0>") == "mixed"
    assert kind_of("12") == "number"


# ---- questions


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_one_learns_from_is_right(task):
    questions, rng = Questions(task, LEXICON), random.Random(1)
    assert len(questions)
    for i in range(len(questions)):
        for _ in range(5):
            asked = questions.ask(i, rng)
            assert asked.text.startswith(f"{task}: ")
            assert is_right(asked, asked.target, LEXICON)
            assert not is_right(asked, asked.target + "x", LEXICON)


def test_any_listed_answer_is_right():
    assert is_right(Question("spell: R EH D", "red", "red"), "read", LEXICON)
    assert is_right(Question("pronounce: read", "R EH D", "read"), "R IY D", LEXICON)
    assert not is_right(Question("rhyme: about", "shout", "about"), "about", LEXICON)
    assert is_right(Question("rhyme: about", "shout", "about"), "scout", LEXICON)
    assert is_right(one_gap("water", 0), "<0>w<1>", LEXICON)
    assert one_gap("water", 4).text == "fill: wate<0>"
    assert filled("wat<0>r", "<0>e<1>") == "water"
    assert filled("wat<0>r", "e") is None
    assert filled("wat<0>r", "É") is None


def test_tasks_ask_only_what_makes_sense():
    asked = {task: {about.word for about, _ in Questions(task, LEXICON).asked} for task in TASKS}
    assert asked["rhyme"] == {"about", "shout", "scout", "read", "red"}
    assert "a" not in asked["fill"] | asked["stress"]
    assert asked["syllables"] == set(LEXICON.facts)


def test_rhymes_come_from_where_they_may():
    train = LEXICON.only(["about", "shout", "red"])
    rng = random.Random(0)
    drawn = [Questions("rhyme", train).ask(0, rng).target for _ in range(20)]
    assert set(drawn) == {"shout"}
    wider = [Questions("rhyme", train, answers=LEXICON).ask(0, rng).target for _ in range(40)]
    assert set(wider) == {"shout", "scout"}


def test_questions_of_a_test_repeat_themselves():
    questions = Questions("fill", LEXICON)
    assert sampled(questions, ["water", "a", "red"]) == sampled(questions, ["water", "red"])
    assert len({sampled(questions, ["water"], seed=seed)[0] for seed in range(9)}) > 1


# ---- training


def recipe(**changes):
    return dataclasses.replace(WORDS_T5_RECIPES["words-t5"], config=tiny().cfg, batches=5, batch_size=3, **changes)


def test_every_task_gets_as_many_batches_and_a_batch_holds_one():
    task = TextToTextTask(LEXICON, LEXICON, recipe())
    plan = task.plan(0)
    owner = [{sum(row >= first for first in task.first) for row in rows} for rows in plan]
    assert all(len(each) == 1 for each in owner)
    assert Counter(each.pop() for each in owner) == dict.fromkeys(range(1, 7), 5)
    assert plan == task.plan(0) != task.plan(1)


def test_alone_a_task_sees_the_batches_it_sees_among_others():
    together, alone = (TextToTextTask(LEXICON, LEXICON, recipe(tasks=tasks)) for tasks in (TASKS, ("fill",)))
    first = together.first[TASKS.index("fill")]
    mine = sorted([row - first for row in rows] for rows in together.plan(0) if rows[0] >= first)
    assert mine == sorted(alone.plan(0))


def test_passes_over_the_data_go_on_where_they_stopped():
    one = TextToTextTask(LEXICON, LEXICON, recipe(tasks=("pronounce",)))
    per_pass = -(-len(one.questions[0]) // 3)
    batches = [tuple(rows) for epoch in range(3) for rows in sorted(one.plan(epoch))]
    assert len(batches) == 15
    counts = Counter(i for rows in batches for i in rows)
    whole = 15 // per_pass
    assert set(counts.values()) <= {whole, whole + 1}


def test_gaps_are_drawn_anew_and_by_the_seed():
    task = TextToTextTask(LEXICON, LEXICON, recipe(tasks=("fill",)))
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(task.batch([0, 3], torch.device("cpu")).src)
    assert torch.equal(made[0], made[1])
    assert made[0].shape != made[2].shape or not torch.equal(made[0], made[2])


def test_the_loss_falls():
    task, model = TextToTextTask(LEXICON, LEXICON, recipe()), tiny()
    before = task.validate(model)
    assert set(before) == {f"dev_{name}" for name in TASKS}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(4):
        for rows in task.plan(epoch):
            total, count = task.loss(model, task.batch(rows, torch.device("cpu")), label_smoothing=0.0)
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
    after = task.validate(model)
    assert sum(after.values()) < 0.7 * sum(before.values())


def test_answers_do_not_depend_on_their_company():
    model = tiny()
    asked = ["pronounce: about", "fill: s<0>", "stress: water"]
    assert answers(model, asked, batch_size=2) == [answer(model, each) for each in asked]
    with pytest.raises(TextError, match="got 'É'"):
        answer(model, "pronounce: É")
    with pytest.raises(ValueError, match="load words-t5"):
        answer(build_model(dataclasses.replace(model.cfg, src_vocab_size=7, tgt_vocab_size=7)), "a")


def test_scores_count_questions():
    row = score_task(tiny(), "fill", ["water", "a", "read"], LEXICON)
    assert row["words"] == 2
    assert row["right_95"][0] <= row["right"] <= row["right_95"][1]
    assert "listed_word" in row


def test_single_tasks_differ_from_the_mixture_in_their_tasks_alone():
    mixed = WORDS_T5_RECIPES["words-t5"]
    for task in TASKS:
        alone = WORDS_T5_RECIPES[f"words-{task}"]
        assert dataclasses.replace(alone, name=mixed.name, summary=mixed.summary, tasks=TASKS) == mixed
    assert WORDS_T5_RECIPES["words-pronounce-long"].batches == len(TASKS) * mixed.batches


def test_first_weights_are_those_of_t5():
    torch.manual_seed(0)
    ours = words_t5_config()
    theirs = dataclasses.replace(ours.with_block(scale=1.0), embed_scale=False, output_scale=128**-0.5)
    model = build_model(theirs)
    assert float(model.tgt_embed.tokens.weight.detach().std()) == pytest.approx(1, rel=0.05)
    assert model.tgt_embed.tokens.weight is model.src_embed.tokens.weight is model.generator.proj.weight
    attention = model.encoder[0].attn
    assert float(attention.q_proj.weight.detach().std()) == pytest.approx((128 * 32) ** -0.5, rel=0.05)
    assert float(attention.k_proj.weight.detach().std()) == pytest.approx(128**-0.5, rel=0.05)
    logits = model(*(rows[:, :9] for rows in (text_rows(["pronounce: school"])[0],) * 2))
    assert 0.5 < float(logits.detach().std()) < 2
    same = build_model(ours)
    same.load_state_dict(model.state_dict())
    with torch.no_grad():
        same.tgt_embed.tokens.weight.div_(128**0.5)
        for module in same.modules():
            if hasattr(module, "q_proj"):
                module.q_proj.weight.mul_(32**0.5)
    rows = text_rows(["pronounce: school"])[0]
    assert torch.allclose(same(rows, rows), model(rows, rows), atol=1e-4)


def test_prompts_are_prefix_colon_space():
    assert prompt("spell", "K AE T") == "spell: K AE T"
    assert encode([Question("ab", "1", "ab")])[0] == (tuple(TEXT.encode("ab")), tuple(TEXT.encode("1")))


def test_the_shipped_model_follows_its_prefixes_and_is_no_speller():
    model, card = load("words-t5")
    assert card["recipe"]["batches"] == WORDS_T5_RECIPES["words-t5"].batches
    asked = [prompt(task, "water") for task in ("pronounce", "syllables", "stress", "rhyme")]
    assert [kind_of(text) for text in answers(model, asked)] == ["phonemes", "number", "number", "letters"]
    with pytest.raises(ValueError, match="pronounces words, got 'words-t5'"):
        load_speller("words-t5")
