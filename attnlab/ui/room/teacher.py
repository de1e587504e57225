"""The teacher's side of a room: who is where, what the class takes, what is asked, its runs, and the end of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.predictions import predictions
from attnlab.rooms.room import Room, RoomError
from attnlab.rooms.rooms import Seen
from attnlab.runs.naming import run_names
from attnlab.ui import warmup
from attnlab.ui.format import duration, plain
from attnlab.ui.hidden import download_button
from attnlab.ui.lessons.predict import KINDS, prediction_asked
from attnlab.ui.problems import told
from attnlab.ui.room import moves
from attnlab.ui.room.board import class_board, variant_title
from attnlab.ui.room.share import address_of, is_own_machine, link_builder, qr_code
from attnlab.ui.room.strip import EVERY_SECONDS, ROOM
from attnlab.ui.state import manager, rooms
from attnlab.ui.waiting import wait_for_torch

MOST_STOPS = 20
_CHOSEN = "room.chosen"


def choose_room(*, asked: bool) -> Room | None:
    """The room of the link, else the one that this browser led last; `None` before there is one.

    Args:
        asked: whether a person may choose where there are several.
    """
    opened = {room.code: room for room in rooms().every() if room.open}
    if not opened:
        st.query_params.pop(ROOM, None)
        return None
    led = rooms().mine()
    linked = st.query_params.get(ROOM, "")
    first = linked if linked in opened else led.code if led is not None else next(iter(opened))
    if asked and len(opened) > 1:
        codes = list(opened)
        first = st.segmented_control("Open rooms", codes, default=first, required=True, key=_CHOSEN) or first
    st.query_params[ROOM] = first
    return opened[first]


def teacher(room: Room | None) -> None:
    """The controls of a room, and the rooms that have ended."""
    for words in rooms().damaged().values():
        st.warning(f"A room is left out: {plain(words)}.", icon=":material/warning:")
    if room is None:
        st.markdown(
            "A room is your class for a lesson. Students enter a code of six letters and need no account. You see who is "
            "where, ask for predictions and show what came out, and take everybody along to what you look at. All runs of the "
            "class gather in one table."
        )
        st.button("Make a room", type="primary", icon=":material/add:", key="room.make", on_click=_make)
    else:
        st.fragment(_watch, run_every=EVERY_SECONDS)(room.code, _stamp(room))
        _open_room(room)
    box = st.expander("Build a link", icon=":material/link:", key="room.build", on_change="rerun")
    if box.open:
        with box:
            wait_for_torch()
            link_builder(room)
    _ended()


def _open_room(room: Room) -> None:
    left, right = st.columns([2, 5], gap="large")
    with left:
        _door(room)
    with right:
        _lead(room)
    st.subheader("Who is where", anchor=False)
    st.fragment(_members, run_every=EVERY_SECONDS)(room.code)
    st.subheader("Class board", anchor=False)
    _offered(room)
    class_board(room.code)


def _door(room: Room) -> None:
    """How students get in."""
    st.markdown(f"### :primary[{room.code}]")
    address = address_of(room)
    link = f"{address}/{ROOM}?room={room.code}"
    qr_code(link)
    st.code(link, language=None, wrap_lines=True)
    if is_own_machine(address):
        st.warning("This address works on this machine only. Enter one that students reach.", icon=":material/wifi_off:")
    st.text_input(
        "Address that students reach",
        value=room.address,
        placeholder=address,
        key=f"room.address.{room.code}",
        max_chars=200,
        on_change=_address,
        args=(room.code,),
        help="Change it where students use another name for this server, as https://lab.example.org.",
    )
    st.page_link(
        "pages/room.py",
        label="For the projector",
        icon=":material/present_to_all:",
        query_params={ROOM: room.code, "present": "1"},
    )
    _close(room)


def _lead(room: Room) -> None:
    """What the class takes, and what it is asked."""
    st.toggle(
        "The room follows my view",
        value=room.follows,
        key=f"room.follow.{room.code}.{room.follows}",
        on_change=moves.switch_follow,
        args=(room.code,),
        help="Students go to the page and the picture that you look at, as soon as you stay there for two seconds. Each of "
        "them can look around alone and come back.",
    )
    known, _ = lessons()
    chosen = st.selectbox(
        "Lesson of the room",
        ["", *known],
        index=["", *known].index(room.lesson) if room.lesson in known else 0,
        format_func=lambda name: known[name].title if name else "none",
        key=f"room.lesson.{room.code}.{room.lesson}",
    )
    if chosen != room.lesson:
        with told():
            if chosen:
                moves.take_step(room.code, chosen, 1)
            else:
                rooms().change(room.code, lesson="", step=1)
            st.rerun()
    step = moves.step_of(room)
    if step is not None:
        count = len(known[room.lesson].steps)
        with st.container(horizontal=True, vertical_alignment="center"):
            for label, by, possible in (("Back", -1, room.step > 1), ("Next", 1, room.step < count)):
                args = (room.code, by)
                st.button(label, key=f"room.step.{label}", disabled=not possible, on_click=moves.move, args=args)
            st.markdown(f"Step {room.step} of {count}: {plain(step.title)}")
    with st.container(border=True, key="room-question"):
        st.markdown("**Predict first**")
        _ask(room)


def _ask(room: Room) -> None:
    question = room.question
    if question is None:
        bank = predictions()
        with st.container(horizontal=True, vertical_alignment="bottom"):
            item = st.selectbox(
                "Question", list(bank), format_func=lambda name: f"{KINDS[bank[name].kind]} {bank[name].ask}", key="room.item"
            )
            st.button("Ask it", icon=":material/help:", key="room.ask", on_click=_do, args=(rooms().ask, room.code, item))
        return
    st.fragment(_answers, run_every=None if question.revealed else EVERY_SECONDS)(room.code, len(question.said))
    prediction = predictions().get(question.item)
    if prediction is not None:
        prediction_asked(
            prediction,
            f"room.lead.{room.code}.{len(room.asked)}",
            None,
            None,
            revealed=question.revealed,
            everybody=rooms().predicted(room),
            wide=True,
        )
    with st.container(horizontal=True):
        if not question.revealed:
            st.button(
                "Reveal",
                type="primary",
                icon=":material/visibility:",
                key="room.reveal",
                on_click=moves.reveal,
                args=(room.code,),
            )
        st.button("Close the question", key="room.close", on_click=_do, args=(rooms().close_question, room.code))


def _answers(code: str, before: int) -> None:
    """How many have answered; their answers are shown to nobody before the question is revealed."""
    room = rooms().get(code)
    if room.question is None:
        return
    said = len(room.question.said)
    present = max(rooms().present(code), said)
    st.progress(said / present if present else 0.0, text=f"{said} of {present} have answered")


def _members(code: str) -> None:
    room, members = rooms().get(code), rooms().members(code)
    if not members:
        st.info("Nobody has entered yet.", icon=":material/info:")
        return
    said = room.question.said if room.question else {}
    predicted = {room.members[browser].number for browser in said if browser in room.members}
    rows = [
        {
            "student": member.number,
            "now": "left" if not member.here else _now(seen),
            "page": seen.page if seen is not None and member.here else "",
            "follows": "" if not room.follows else "yes" if member.follows else "looks around",
            "answered": "" if room.question is None else "yes" if member.number in predicted else "not yet",
            "seed": member.seed,
            "runs": runs,
        }
        for member, seen, runs in members
    ]
    st.dataframe(rows, hide_index=True, key="room.members", alt="One row per student: number, page, answer, seed and runs")
    live = [record for record in rooms().runs(room) if record.state.live]
    if live:
        names = run_names(live)
        st.markdown("**Training or waiting**")
        for record in live[:MOST_STOPS]:
            number = rooms().number_of(room, record.owner)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(
                    f"{'Student ' + str(number) if number else 'Teacher'}: {plain(names[record.run_id])}, {record.state}",
                    width="stretch",
                )
                st.button(
                    "Stop",
                    key=f"room.stop.{record.run_id}",
                    icon=":material/stop:",
                    type="tertiary",
                    on_click=_stop,
                    args=(record.run_id,),
                )
        if len(live) > MOST_STOPS:
            st.caption(f"And {len(live) - MOST_STOPS} more, which *Train* lists.")


def _now(seen: Seen | None) -> str:
    if seen is None:
        return "away"
    return "here" if seen.present else f"away for {duration(seen.seconds)}"


def _offered(room: Room) -> None:
    """Which runs students are offered."""
    names = ["none", *room.variants]
    if warmup.ready():  # the page is there before torch, which knows all variants
        from attnlab.attention import list_attention

        names += list_attention()
    names = list(dict.fromkeys(names))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.multiselect(
            "Runs that students are offered",
            names,
            default=list(room.variants),
            format_func=variant_title,
            max_selections=6,
            select_all=False,
            key=f"room.variants.{room.code}",
            on_change=_change_runs,
            args=(room.code,),
            help="Each student trains them with their own seed. Two variants with the same seeds are compared pair by pair.",
        )
        st.number_input(
            "Epochs",
            1,
            100,
            room.epochs,
            key=f"room.epochs.{room.code}",
            on_change=_change_runs,
            args=(room.code,),
            width=140,
            help="The same for all, since runs of unequal length cannot be compared.",
        )


def _close(room: Room) -> None:
    with st.container(horizontal=True):
        _download(room)
        with st.popover("End the room", icon=":material/meeting_room:", key="room.end"):
            st.markdown("Everybody leaves it. What trains goes on. You can download and erase it afterwards.")
            st.button("End it", type="primary", key="room.end.yes", on_click=_do, args=(rooms().end, room.code))


def _ended() -> None:
    """The rooms that have ended, to be downloaded and erased."""
    ended = [room for room in rooms().every() if not room.open]
    if not ended:
        return
    with st.expander(f"Rooms that have ended ({len(ended)})", icon=":material/history:", key="room.history"):
        for room in ended:
            with st.container(horizontal=True, vertical_alignment="center"):
                day = time.strftime("%Y-%m-%d %H:%M", time.localtime(room.made))
                count = len(room.members)
                st.markdown(f"**{room.code}** · {day} · {count} {'student' if count == 1 else 'students'}", width="stretch")
                _download(room)
                with st.popover("Erase", icon=":material/delete:", key=f"room.erase.{room.code}"):
                    st.markdown(
                        f"The room, its predictions and its {len(rooms().runs(room))} runs are removed. The runs lie in the "
                        "bin for a week; the rest cannot be brought back."
                    )
                    st.button(
                        "Erase it",
                        type="primary",
                        key=f"room.erase.{room.code}.yes",
                        on_click=_do,
                        args=(rooms().erase, room.code),
                    )


def _download(room: Room) -> None:
    download_button(
        "Download everything",
        lambda: rooms().download(room.code),
        file_name=f"attnlab-room-{room.code}.zip",
        mime="application/zip",
        icon=":material/download:",
        key=f"room.download.{room.code}",
        on_click="ignore",
    )


def _stamp(room: Room) -> tuple[object, ...]:
    """What of a room is drawn here and may be changed from the projector."""
    question = room.question
    return room.lesson, room.step, room.follows, len(room.asked), question is not None and (True, question.revealed)


def _watch(code: str, stamp: tuple[object, ...]) -> None:
    try:
        room = rooms().get(code)
    except RoomError:  # erased in another window
        st.rerun()
    if not room.open or _stamp(room) != stamp:
        st.rerun()


def _make() -> None:
    with told(say=st.toast):
        st.query_params[ROOM] = rooms().make().code


def _do(action: Callable[..., object], *arguments: str) -> None:
    with told(say=st.toast):
        action(*arguments)


def _stop(run_id: str) -> None:
    with told(say=st.toast):
        manager().stop(run_id)


def _address(code: str) -> None:
    text = st.session_state[f"room.address.{code}"].strip().rstrip("/")
    with told(say=st.toast):
        if text and "://" not in text:
            text = f"http://{text}"
        rooms().change(code, address=text)


def _change_runs(code: str) -> None:
    with told(say=st.toast):
        variants, epochs = (st.session_state[f"room.{name}.{code}"] for name in ("variants", "epochs"))
        rooms().change(code, variants=tuple(variants), epochs=int(epochs))
