"""The page Room: what the teacher can do there, what students see, and what a link hides."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.desk.desk import Desk, teachers_door
from attnlab.desk.permissions import Mode, Person, browser_of
from attnlab.desk.rooms import RoomsDesk
from attnlab.desk.teacher import teacher_token
from attnlab.experiments.managers import get_manager, shutdown_all
from attnlab.lessons.catalogue import SHIPPED
from attnlab.lessons.predictions import predictions
from attnlab.rooms import rooms as rooms_module
from attnlab.rooms.rooms import rooms_of
from attnlab.runs.records import RunState
from attnlab.ui import who
from attnlab.ui.hidden import parts_in
from attnlab.ui.room.share import is_own_machine
from tests.pages import open_page, seen, texts
from tests.waiting import wait_until

PAGE = "pages/room.py"
TEACHER, STUDENT = browser_of("teacher"), browser_of("student")


def teachers() -> RoomsDesk:
    return RoomsDesk(Desk(Person(Mode.CLASSROOM, TEACHER, teacher=True)))


def students(name: str = STUDENT) -> RoomsDesk:
    return RoomsDesk(Desk(Person(Mode.CLASSROOM, name)))


@pytest.fixture(autouse=True)
def shipped(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lessons speak of the shipped runs, which the fixture `app` leaves out."""
    monkeypatch.setattr(paths, "DEMO_RUNS", paths.ROOT / "checkpoints" / "demo")
    shutdown_all()  # the first test of a process has made its manager by now, which has none


@pytest.fixture
def classroom(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("ATTNLAB_MODE", "classroom")
    monkeypatch.setattr(who, "browser", lambda: STUDENT)
    return app


@pytest.fixture
def led(classroom: AppTest, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page as the teacher sees it."""
    home = get_manager().home
    teachers_door(home).enter(TEACHER, teacher_token(home))
    monkeypatch.setattr(who, "browser", lambda: TEACHER)
    return classroom


def test_on_the_own_machine_a_room_is_made_led_ended_and_erased(app: AppTest) -> None:
    open_page(app, PAGE)
    app.button("room.make").click().run()
    (room,) = rooms_of(get_manager().home).every()
    assert room.open and app.query_params["room"] == room.code and room.code in seen(app)
    app.selectbox(f"room.lesson.{room.code}.").select("what-is-attention").run()
    app.button("room.step.Next").click().run()
    assert "Step 2 of 7" in seen(app)
    app.button("room.step.Next").click().run()  # a step that begins with a prediction asks it
    (asked,) = rooms_of(get_manager().home).get(room.code).asked
    assert asked.item == "gates-3"
    app.button("room.reveal").click().run()
    app.button("room.close").click().run()
    app.toggle(f"room.follow.{room.code}.False").set_value(True).run()
    assert rooms_of(get_manager().home).get(room.code).follows
    app.button("room.end.yes").click().run()
    assert "Make a room" in [button.label for button in app.button]
    app.button(f"room.erase.{room.code}.yes").click().run()
    assert not app.exception and not rooms_of(get_manager().home).every()


def test_a_student_enters_by_the_code_or_the_link_and_sees_what_the_room_does(classroom: AppTest) -> None:
    code = teachers().make().code
    open_page(classroom, PAGE)
    classroom.text_input("room.code").set_value("BBBBBB")
    classroom.button[0].click().run()
    assert "There is no room with this code" in seen(classroom)
    classroom.text_input("room.code").set_value(code.lower())
    classroom.button[0].click().run()
    assert "Your seed is 101" in seen(classroom)
    teachers().change(code, lesson="what-is-attention", step=2)
    teachers().ask(code, "better-cbam")
    page = seen(classroom.run())
    assert "step 2 of 7" in page and predictions()["better-cbam"].ask in page
    classroom.radio[0].set_value(1).run()
    assert "Your prediction is kept" in seen(classroom)
    assert rooms_of(get_manager().home).get(code).asked[0].said == {STUDENT: "1"}
    classroom.button("room.leave").click().run()
    assert "Enter the code" in seen(classroom)
    classroom.query_params["room"] = code
    assert "Your seed is 101" in seen(open_page(classroom, PAGE)), "who comes back keeps the number and the seed"
    teachers().end(code)
    assert "has ended" in seen(classroom.run())


def asked_alone(app: AppTest) -> None:
    """Opens the prediction ``better-cbam`` on its own page."""
    open_page(app, "pages/predict.py")
    app.query_params["item"] = "better-cbam"
    app.segmented_control("kind").set_value("better").run()


def test_what_the_room_asks_is_shown_nowhere_before_the_teacher_shows_it(classroom: AppTest) -> None:
    code = teachers().make().code
    students().enter(code)
    teachers().ask(code, "better-cbam")
    bank = predictions()["better-cbam"]
    asked_alone(classroom)
    assert bank.ask in seen(classroom)
    chosen = next(radio for radio in classroom.radio if radio.label == bank.ask)
    chosen.set_value(1).run()
    assert rooms_of(get_manager().home).get(code).question.said == {STUDENT: "1"}
    assert "Wait until the teacher shows what comes out" in seen(classroom) and bank.why not in texts(classroom)
    teachers().reveal(code)
    classroom.run()
    assert bank.why in texts(classroom) and "Wait until" not in seen(classroom)
    teachers().close_question(code)
    classroom.run()
    assert bank.why in texts(classroom), "what was shown stays"


def test_a_prediction_that_was_made_before_the_room_asked_stays_shown(classroom: AppTest) -> None:
    code = teachers().make().code
    students().enter(code)
    asked_alone(classroom)
    classroom.radio[0].set_value(1).run()
    assert predictions()["better-cbam"].why in texts(classroom)
    teachers().ask(code, "better-cbam")
    assert predictions()["better-cbam"].why in texts(classroom.run())
    assert not rooms_of(get_manager().home).get(code).question.said


def test_the_line_of_the_room_is_on_every_page_and_follows_the_teacher(classroom: AppTest) -> None:
    code = teachers().make().code
    students().enter(code)
    teachers().change(code, follows=True)
    teachers().show(code, "inspect", "img=3")
    page = seen(classroom.run()).replace("*", "")
    assert "you are Student 1 · you follow; the teacher is on Inspect" in page
    assert rooms_of(get_manager().home).seen(code)[STUDENT].page == "Home"


def test_the_projector_shows_the_room_to_the_teacher_alone(led: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    code = teachers().make().code
    teachers().change(code, lesson="what-is-attention", step=2)
    students().enter(code)
    led.query_params["present"] = "1"
    page = seen(open_page(led, PAGE)).replace("*", "")
    assert "A gate lies between 0 and 1" in page and "enter the code, or scan it" in page
    led.button("room.present.reveal").click().run()
    assert "Weights multiply features" in seen(led), "the right answer of the step's question"
    led.button("room.present.next").click().run()
    assert rooms_of(get_manager().home).get(code).step == 3
    led.button("room.present.follow").click().run()
    assert rooms_of(get_manager().home).get(code).follows
    monkeypatch.setattr(who, "browser", lambda: STUDENT)
    assert "Your seed is" in seen(open_page(led, PAGE))


def test_the_teacher_stops_a_run_of_the_room(led: AppTest) -> None:
    code = teachers().make().code
    students().enter(code)
    run_id = Desk(Person(Mode.CLASSROOM, STUDENT)).submit(RunConfig().changed(training__epochs=500, dataset__subset=200))
    wait_until(lambda: get_manager().get(run_id).state is RunState.RUNNING, "it trains")
    assert "Student 1" in seen(open_page(led, PAGE))
    led.button(f"room.stop.{run_id}").click().run()
    wait_until(lambda: get_manager().get(run_id).state is RunState.STOPPED, "it stops")
    assert not led.exception


def test_a_damaged_room_is_said_to_the_teacher_and_stops_nothing(led: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = get_manager().home / "rooms"
    folder.mkdir(exist_ok=True)
    (folder / "BCDFGH.json").write_text("{")
    monkeypatch.setattr(rooms_module, "_known", {})  # as after a restart
    assert "rooms/BCDFGH.json is not valid JSON" in seen(open_page(led, PAGE))


def test_the_teacher_can_print_every_lesson_and_students_none(classroom: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not open_page(classroom, "pages/lessons.py").get("download_button")
    monkeypatch.setenv("ATTNLAB_MODE", "personal")
    assert len(open_page(classroom, "pages/lessons.py").get("download_button")) >= len(list(SHIPPED.glob("*.toml")))


# Links that hide and lock


def test_names_that_no_part_has_are_ignored() -> None:
    assert parts_in("run,menu,nothing,run") == ("menu", "run")
    assert parts_in("<script>," * 1000) == ()


def test_what_a_link_hides_is_drawn_on_no_page_of_the_session(app: AppTest, run_id: str) -> None:
    get_manager().store.sync()
    app.query_params["hide"] = "run,downloads,training,attention,protocol"
    app.query_params["run"] = run_id
    open_page(app, "pages/inspect_attention.py")
    assert "inspect.run" not in [box.key for box in app.selectbox] and not app.get("download_button")
    open_page(app, "pages/train.py")
    keys = {widget.key for widget in (*app.number_input, *app.selectbox, *app.multiselect, *app.text_input)}
    assert "form.variants" not in keys and "form.seeds" not in keys and "form.model.backbone" in keys
    assert app.button("train.start").label == "Start" and not app.exception


def test_a_link_of_a_room_fills_in_the_form(app: AppTest) -> None:
    app.query_params.update({"attention": "none", "epochs": "4", "seed": "107"})
    open_page(app, "pages/train.py")
    assert app.number_input("form.training.epochs").value == 4
    assert app.text_input("form.seeds").value == "107" and app.multiselect("form.variants").value == []


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://localhost:8501", True),
        ("http://127.0.0.1:8501", True),
        ("http://[::1]:8501", True),
        ("http://lab.localhost", True),
        ("http://192.168.1.5:8501", False),
        ("https://lab.example.org/x", False),
    ],
)
def test_an_address_that_only_this_machine_has_is_told(address: str, own: bool) -> None:
    assert is_own_machine(address) == own
