"""Times a run on a worker while the page stays as it is: for *Estimate the time*, and before a run that must end in time.

The work goes on in a thread of the server, also when the person opens another page: a run that was started is queued by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from attnlab.config import RunConfig
from attnlab.desk.desk import Desk
from attnlab.queue.plan import Plan
from attnlab.ui.background import Job
from attnlab.ui.form.run_form import FormContent
from attnlab.ui.format import duration, plain
from attnlab.ui.state import add_to_chart, manager

Submit = Callable[[RunConfig], list[str]]
"""Queues the runs of a configuration. Returns their run ids. It is called in a thread, so it calls nothing of Streamlit."""

_TIMING, _TOLD = "train.timing", "train.timed"


@dataclass(frozen=True)
class _Timed:
    words: str
    started: tuple[str, ...]


class _Timing:
    """A measurement in progress.

    Attributes:
        words, done: what is being done, and how much of it is, in [0, 1].
    """

    def __init__(self, form: FormContent, submit: Submit | None) -> None:
        assert form.config is not None
        self.words, self.done = "starting", 0.0
        config, queue = form.config, manager()
        self.job: Job[_Timed] = Job(lambda _: self._work(queue, config, form, submit))

    def _work(self, queue: Desk, config: RunConfig, form: FormContent, submit: Submit | None) -> _Timed:
        plan = queue.plan(config, form.budget, fresh=submit is None, tell=self._tell)
        words = _sentences(queue, plan, max(1, len(form.seeds)))
        return _Timed(words, () if submit is None else tuple(submit(plan.config)))

    def _tell(self, words: str, done: float) -> None:
        self.words, self.done = words, done


def busy() -> bool:
    """Whether a run is being timed for this session."""
    return _TIMING in st.session_state


def begin(form: FormContent, submit: Submit | None) -> None:
    """Times the run in the form, which must be valid, and draws the page again.

    Args:
        submit: queues the runs when their number of epochs is settled; `None` only estimates.
    """
    st.session_state.pop(_TOLD, None)
    st.session_state[_TIMING] = _Timing(form, submit)
    st.rerun(scope="app")


def show() -> None:
    """How far the measurement is, or what it has said."""
    timing: _Timing | None = st.session_state.get(_TIMING)
    if timing is not None:
        try:
            timed = timing.job.result()
        except (ValueError, OSError) as error:
            st.session_state[_TOLD] = (st.error, ":material/error:", str(error))
        else:
            if timed is None:
                _progress(timing)
                return
            st.session_state[_TOLD] = (st.success, ":material/timer:", timed.words)
            if timed.started:
                add_to_chart(timed.started)
        del st.session_state[_TIMING]
        st.rerun(scope="app")
    if _TOLD in st.session_state:
        show_as, icon, text = st.session_state[_TOLD]
        show_as(plain(text), icon=icon)


@st.fragment(run_every=0.5)
def _progress(timing: _Timing) -> None:
    if timing.job.ended:
        st.rerun(scope="app")
    words = timing.words[:1].upper() + timing.words[1:]
    st.progress(timing.done, text=plain(f"{words}: {timing.done:.0%}" if timing.done else words))


def _sentences(queue: Desk, plan: Plan, seeds: int) -> str:
    """The plan, what all seeds take together, and what waits before them."""
    text = plan.words
    if seeds > 1 and plan.seconds is not None:
        text += f" All {seeds} runs take about {duration(seeds * plan.seconds)}, one after the other."
    if live := [record for record in queue.live() if not record.config.recorded]:
        before = queue.waits()[""]
        what = f"{len(live)} runs train or wait" if len(live) > 1 else "1 run trains or waits"
        text += f" {what} before that" + (f", about {duration(before)}." if before else ".")
    return text
