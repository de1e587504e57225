"""The forms before and after, what is kept of the answers, and what a class has gained."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from attnlab.lessons.answers import Answer, add_answers, anonymous, answers_file, erase_answers, read_answers
from attnlab.lessons.questions import Time, form_for, questions, results
from attnlab.stats.gain import normalised_gain


def answer(item: str, value: str, person: str, time: Time) -> Answer:
    return Answer.model_validate({"kind": "question", "item": item, "value": value, "person": person, "time": time})


def answered(person: str, time: Time, right: int) -> list[Answer]:
    """A whole form with so many right answers."""
    form = form_for(person, time)
    return [answer(each.name, each.right if number < right else "F", person, time) for number, each in enumerate(form)]


def test_a_person_gets_each_topic_twice_and_no_question_twice() -> None:
    bank = questions()
    assert len(bank) >= 24
    for person in ("0" * 16, "1" * 16):
        before, after = form_for(person, Time.BEFORE), form_for(person, Time.AFTER)
        assert [each.topic for each in before] == [each.topic for each in after]
        assert {each.name for each in (*before, *after)} == set(bank)
    assert form_for("0" * 16, Time.BEFORE) == form_for("1" * 16, Time.AFTER), "half of the class the other way round"


def test_the_right_answers_stand_at_all_places() -> None:
    places = [each.right for each in questions().values()]
    assert max(map(places.count, "ABCD")) < 0.6 * len(places), "who always says the same letter does not pass"


def test_what_a_class_gained_is_counted_per_question_and_over_all() -> None:
    people = [f"{number:08x}" * 2 for number in range(12)]
    half = len(questions()) // 2
    given = [each for person in people for each in (*answered(person, Time.BEFORE, 6), *answered(person, Time.AFTER, 9))]
    *single, total = results([*given, *answered("f" * 16, Time.BEFORE, 0)])
    assert [each.name for each in single] == list(questions())
    assert total.before == total.after == 12, "who answered one form only is not in the comparison"
    assert total.right_before == 6 / half and total.right_after == 9 / half
    assert total.gain is not None and total.gain.value == pytest.approx(3 / (half - 6))
    first = single[0]
    assert (first.before, first.right_before, first.right_after) == (6, 1.0, 1.0) and first.gain is None
    last = next(each for each in single if each.name == list(questions())[-2])
    assert last.right_before == last.right_after == 0.0 and last.gain is not None and last.gain.value == 0


@pytest.mark.parametrize(
    ("before", "after", "value"), [([0, 1], [1, 1], 1.0), ([0, 0], [0, 1], 0.5), ([0, 1], [0, 0], -1.0), ([1, 1], [1, 0], None)]
)
def test_gain_is_the_share_of_what_could_be_gained(before: list[int], after: list[int], value: float | None) -> None:
    gain = normalised_gain(before, after, paired=True)
    assert (gain.value if gain else None) == value
    assert normalised_gain([], after, paired=False) is None


def test_the_interval_of_a_gain_holds_the_truth_about_as_often_as_it_says() -> None:
    draw, hits = random.Random(0), 0
    for trial in range(100):
        before = [draw.random() < 0.4 for _ in range(40)]
        after = [draw.random() < 0.7 for _ in range(40)]
        gain = normalised_gain(before, after, paired=False, resamples=500, seed=trial)
        assert gain is not None
        hits += gain.low <= 0.5 <= gain.high
    assert hits >= 87


def test_answers_are_kept_once_and_without_whose_they_are(tmp_path: Path) -> None:
    me = anonymous(tmp_path, "browser")
    assert me == anonymous(tmp_path, "browser") != anonymous(tmp_path, "another") and "browser" not in me
    assert add_answers(tmp_path, answered(me, Time.BEFORE, 3)) == len(questions()) // 2
    changed = answer(form_for(me, Time.BEFORE)[0].name, "E", me, Time.BEFORE)
    assert add_answers(tmp_path, [changed]) == 0, "the first answer counts"
    with answers_file(tmp_path).open("a") as stream:
        stream.write('{"kind": "question", "it')
    assert read_answers(tmp_path) == answered(me, Time.BEFORE, 3)
    erase_answers(tmp_path)
    assert read_answers(tmp_path) == [] and anonymous(tmp_path, "browser") != me


def test_the_file_of_results_has_no_person_in_it() -> None:
    from attnlab.ui.lessons.forms import results_csv

    person = "0123456789abcdef"
    text = results_csv(results(answered(person, Time.BEFORE, 5)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert person not in text and len(rows) == len(questions()) + 1
    assert rows[-1]["question"] == "all" and rows[-1]["n_before"] == "0"
    assert sum(int(row["n_before"]) for row in rows) == len(questions()) // 2
