"""What the League page starts: a league, the missing variants of one, and the choice of which to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import streamlit as st

from attnlab.attention import get_attention
from attnlab.config import Placement, RunConfig
from attnlab.data import list_datasets, read_path
from attnlab.desk.permissions import Action
from attnlab.experiments.grid import Grid, GridState, Progress, first_seeds
from attnlab.experiments.grid import progress as grid_progress
from attnlab.experiments.league import SEEDS, Controls, League, every_variant, extended, leagues, plan_league, refusals
from attnlab.models import list_models
from attnlab.paths import written_path
from attnlab.training.presets import league as preset
from attnlab.ui.costs import add_data_summary
from attnlab.ui.format import plain
from attnlab.ui.problems import told
from attnlab.ui.state import manager

_WANTED = "league.wanted"
"""The league that was started: it is chosen when the page is drawn again, since a choice that is drawn cannot be changed."""
_CONTROLS: dict[Controls, str] = {
    "all": "for every variant",
    "none": "for none",
}


def choose_league() -> League | None:
    """Asks which league to show; `None` when there is none."""
    known = {league.key: league for league in leagues(manager().home, manager().runs())}
    if not known:
        return None
    if (wanted := st.session_state.pop(_WANTED, None)) in known:
        st.session_state["league.chosen"] = wanted
    if st.session_state.get("league.chosen") not in known:
        st.session_state["league.chosen"] = next(iter(known))
    chosen = st.selectbox("League", list(known), format_func=lambda key: _title(known[key]), key="league.chosen")
    found = known[chosen or next(iter(known))]
    if found.shipped:
        for record, entry in zip(found.shipped.records, found.shipped.entries, strict=True):
            if entry.get("dataset"):
                add_data_summary(record.group, entry["dataset"])
    return found


def own_progress(grid: Grid) -> Progress:
    """How far a grid of this server is."""
    return grid_progress(grid, manager().runs())


def more_variants(found: League) -> dict[str, str]:
    """The variants that are registered and not in the league, with a button that trains them.

    Returns:
        Variant -> why it does not work in this network, of those that do not.
    """
    missing = [name for name in every_variant() if name not in found.variants]
    if not missing:
        return {}
    with told():
        refused = _refusals(found.base.to_json(), tuple(missing))
        addable = [name for name in missing if name not in refused]
        if addable:
            _offer(found, addable)
        return refused
    return {}


def _offer(found: League, addable: Sequence[str]) -> None:
    mine = [name for name in addable if not get_attention(name).block.__module__.startswith("attnlab.")]
    titles = ", ".join(plain(get_attention(name).title) for name in addable)
    several = len(addable) > 1
    what = f"{titles} {'are' if several else 'is'} registered and not in this table."
    if found.base.dataset.name not in list_datasets() and not written_path(found.base.dataset.name).exists():
        st.info(f"{what} The images of this league are not on this server.", icon=":material/extension:")
        return
    if not manager().may(Action.START_GRID):
        return
    cells = 2 * len(addable) * len(found.grid.seeds)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="league.more"):
        st.markdown(f"{what} Trained with its control on the same seeds: {cells} runs.")
        label = f"Put my variant{'s' if several else ''} into the table" if mine else "Add to the table"
        st.button(
            label, type="primary", icon=":material/add_chart:", key="league.add", on_click=_add, args=(found, tuple(addable))
        )


def _add(found: League, variants: Sequence[str]) -> None:
    """Queues the missing cells alone."""
    with told(say=st.toast):
        desk = manager()
        grid, _ = plan_league(found.base, variants=variants, seeds=found.grid.seeds, with_plain=False)
        desk.start_grid(extended(desk.home, replace(grid, owner=desk.person.browser)))


@st.cache_data(max_entries=64, show_spinner=False)
def _refusals(base: str, variants: tuple[str, ...]) -> dict[str, str]:
    return refusals(RunConfig.from_json(base), variants)


def start_form() -> None:
    """Asks for the network, the images and the budget of a league, and starts it."""
    networks = {name: network for name, network in list_models().items() if network.placements}
    left, middle, right = st.columns(3)
    if manager().may(Action.READ_PATH):
        dataset = left.text_input(
            "Data", "digits", key="league.dataset", help="The name of a data set, or the path of a folder or archive of images."
        )
    else:
        dataset = left.selectbox("Data", list(list_datasets()), key="league.dataset.named")
    backbone = middle.selectbox(
        "Backbone",
        list(networks),
        index=list(networks).index("small_cnn"),
        format_func=lambda name: networks[name].title,
        key="league.backbone",
    )
    offered = networks[backbone].placements
    placement = right.selectbox(
        "Placement",
        offered,
        index=offered.index("block_end") if "block_end" in offered else 0,
        format_func=lambda name: name.replace("_", " "),
        key=f"league.placement.{backbone}",
    )
    assert placement in get_args(Placement)
    left, right = st.columns([2, 1])
    variants = left.multiselect("Variants", every_variant(), key="league.variants", placeholder="all of them")
    controls = right.selectbox(
        "Controls",
        list(_CONTROLS),
        format_func=_CONTROLS.__getitem__,
        key="league.controls",
        help="A control doubles the runs of a variant. Without one it is only compared with the plain network.",
    )
    with st.grid(5, min_column_width=110):
        seeds = st.number_input("Seeds", 1, 64, SEEDS, key="league.seeds")
        subset = st.number_input("Training images", 2, 1_000_000, 4000, step=500, key="league.subset")
        test = st.number_input("Test images", 2, 1_000_000, 1000, step=500, key="league.test_subset")
        epochs = st.number_input("Epochs", 1, 200, 8, key="league.epochs")
        width = st.number_input("Width", 1, 256, 8, key="league.width", help="Channels of the first block.")
    count = (1 + (len(variants) or len(every_variant())) * (2 if controls == "all" else 1)) * seeds
    st.caption(
        f"{count:,} runs. Those that were trained before are not trained again, and a variant that does not work in this "
        "network is named and left out."
    )
    if not st.button("Start", type="primary", icon=":material/play_arrow:", key="league.start"):
        return
    with told():
        base = preset(
            dataset.strip(),
            backbone=backbone,
            placement=placement,
            width=width,
            subset=subset,
            test_subset=test,
            epochs=epochs,
        )
        if base.dataset.name not in list_datasets():
            read_path(base.dataset.model_copy(update={"name": str(manager().path(base.dataset.name))}))  # refuses what is none
        grid, _ = plan_league(base, variants=variants, seeds=first_seeds(seeds), controls=controls)
        desk = manager()
        desk.start_grid(extended(desk.home, replace(grid, owner=desk.person.browser)))
        st.session_state[_WANTED] = grid.rows[0].config.group
        st.rerun()


def _title(league: League) -> str:
    about = f"{league.title} · {len(league.variants)} variants · {len(league.grid.seeds)} seeds"
    if not league.own:
        return f"{about} · shipped"
    return f"{about} · running" if league.state is GridState.ACTIVE else about
