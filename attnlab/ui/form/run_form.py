"""The form of a run, generated from the registries and the configuration's own fields.

A new variant, network or data set appears here by being registered; a new option of one by being declared there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from attnlab.attention import NONE, Variant, list_attention
from attnlab.config import ProtocolConfig, RunConfig, explain
from attnlab.data import list_datasets
from attnlab.models import Network, list_models
from attnlab.plugins import failures
from attnlab.ui.benchmarks import benchmark_page
from attnlab.ui.form.draft import SEEDS, choice, draft, field, kept_budget, option_fields, readable, source_link
from attnlab.ui.form.draft import budget as draft_budget
from attnlab.ui.form.path_options import own_dataset
from attnlab.ui.format import plain
from attnlab.ui.glossary import WEIGHTS
from attnlab.ui.hidden import shown

FROM_PATH = "a folder or archive"
MORE_TRAINING = (
    "loss",
    "label_smoothing",
    "focal_alpha",
    "focal_gamma",
    "plateau_patience",
    "momentum",
    "weight_decay",
    "device",
    "amp",
)
ONLY_WITH = {
    "label_smoothing": ("loss", "cross_entropy"),
    "focal_alpha": ("loss", "focal"),
    "focal_gamma": ("loss", "focal"),
    "plateau_patience": ("schedule", "plateau"),
    "momentum": ("optimizer", "sgd"),
}
"""Settings that are shown only where another one has a certain value."""
MAX_SEEDS = 64
STAGES = "stages"
"""The option of a network that is asked for beside the placement of attention."""


@dataclass(frozen=True)
class FormContent:
    """What the form holds: a valid configuration and its seeds, or sentences on what is wrong.

    Attributes:
        budget: seconds that a run may take; the epochs of the configuration are then the most. `None`: exactly those.
        seeds: empty when the person has left them to the page.
    """

    config: RunConfig | None
    seeds: tuple[int, ...]
    problem: str = ""
    budget: int | None = None


def run_form(*, fits_time: bool = False) -> FormContent:
    """Shows the form. The draft must have been loaded before.

    Args:
        fits_time: also asks whether the number of epochs is to be fitted to a time.
    """
    above = st.container()
    problem = ""
    if shown("data"):
        with st.container(border=True, key="train-data"):
            st.markdown("**Data**")
            problem = _data()
    if shown("attention"):
        with st.container(border=True, key="train-attention"):
            st.markdown("**Attention**")
            _attention(list_models()[_backbone_name()])
    if shown("network"):
        with st.container(border=True, key="train-network"):
            st.markdown("**Network**")
            _network()
    if shown("training"):
        with st.container(border=True, key="train-training"):
            st.markdown("**Training**")
            budget = draft_budget() if fits_time else None
            seeds_text = _training(most=budget is not None)
    else:
        budget, seeds_text = kept_budget() if fits_time else None, str(st.session_state.get(SEEDS, ""))
    if shown("protocol"):
        with st.expander("Protocol switches", icon=":material/rule:", key="form.protocol_expander"):
            st.caption("The departures of the report's published code from its text. A preset sets all of them at once.")
            for name in ProtocolConfig.model_fields:
                field(f"protocol.{name}")
    with above:
        for failure in failures():  # the form has read all three registries by now
            text = plain(str(failure))
            st.warning(f"{text[0].upper()}{text[1:]}.", icon=":material/extension_off:")
    return replace(_fill(seeds_text, problem), budget=budget)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``"0-4"``, ``"0, 3, 7"`` or a mix of both, in the order written, each once.

    Raises:
        ValueError: for anything else, or more than `MAX_SEEDS`.
    """
    seeds: dict[int, None] = {}
    for part in filter(None, re.split(r"[,;\s]+", text.strip())):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part)
        if not match:
            raise ValueError(f"seeds: {part!r} is neither a number nor a range; write 0, or 0-4, or 0, 3, 7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"seeds: the range {part!r} runs backwards; write {last}-{first}")
        if last - first >= MAX_SEEDS:
            raise ValueError(f"seeds: {part!r} asks for more than {MAX_SEEDS} runs")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    if not seeds:
        raise ValueError("seeds: at least one is needed; write 0, or 0-4 for five runs")
    if len(seeds) > MAX_SEEDS:
        raise ValueError(f"seeds: {len(seeds)} runs were asked for, at most {MAX_SEEDS} are allowed")
    return tuple(seeds)


def _backbone_name() -> str:
    name = st.session_state.get("form.model.backbone", draft()["model"]["backbone"])
    return name if name in list_models() else next(iter(list_models()))


def _data() -> str:
    """Returns a sentence on what is wrong with one's own images."""
    problem = ""
    datasets = list_datasets()
    tree = draft()["dataset"]
    sources = [*datasets, FROM_PATH]
    key = "form.source"
    st.session_state.setdefault(key, tree["name"] if tree["name"] in datasets else FROM_PATH)
    source = st.selectbox(
        "Data set", sources, format_func=lambda name: datasets[name].title if name in datasets else name, key=key
    )
    if source == FROM_PATH:
        problem = own_dataset(tree, "" if tree["name"] in datasets else tree["name"])
    else:
        info = datasets[source]
        if tree["name"] != source:
            tree["options"] = st.session_state.get(f"form.options.{source}", dict(info.new_runs))
        tree["name"] = source
        st.session_state[f"form.options.{source}"] = tree["options"]
        size = f" Downloaded once, {info.download_bytes / 1e6:.0f} MB." if info.needs_network else ""
        st.caption(info.summary + size)
        if info.options:
            with st.expander("Data set options", icon=":material/tune:", key="form.data_expander"):
                _grid_of(f"dataset.{source}", info.options, info.defaults, tree["options"])
    own = str(datasets[source].image_size) if source in datasets else "original size"
    with st.grid(3, min_column_width=120):
        field("dataset.image_size", placeholder=own)
        field("dataset.subset", label="Training images", placeholder="all")
        field("dataset.test_subset", label="Test images", placeholder="all")
    return problem


def _attention(network: Network) -> None:
    tree = draft()["model"]
    if not network.placements:
        why = "has its attention built in" if network.own_attention else "takes no attention"
        st.caption(f"{network.title} {why}: {network.summary}")
        tree.update(attention=NONE, attention_options={}, attention_start="published")
        _control(attended=bool(network.own_attention))
        return
    variants = list_attention()
    key = "form.variants"
    current = [name for name in tree["attention"].split("+") if name in variants]
    st.session_state.setdefault(key, current)
    chosen = st.multiselect(
        "Variants, in the order they are applied",
        list(variants),
        format_func=lambda name: variants[name].title,
        key=key,
        placeholder="none (the plain backbone)",
        select_all=False,
    )
    chosen = sorted(chosen, key=lambda name: not variants[name].mixer)  # what replaces a convolution, then what follows it
    tree["attention"] = "+".join(chosen) or NONE
    options: dict[str, dict[str, Any]] = {}
    for name in chosen:
        variant = variants[name]
        if name not in current:
            tree["attention_options"][name] = dict(variant.new_runs)
        st.caption(
            f"**{variant.title}** ({source_link(variant.paper)}): {variant.summary}",
            help=WEIGHTS[variant.combine],
        )
        st.latex(variant.formula)
        changed = dict(tree["attention_options"].get(name, {}))
        if variant.options:
            _grid_of(f"model.attention.{name}", variant.options, variant.defaults, changed)
        if changed:
            options[name] = changed
        benchmark_page(name, "form")
    tree["attention_options"] = options
    for name in chosen:
        if variants[name].mixer and network.mixes:
            st.caption(f"{variants[name].title} replaces {network.mixes}.")
    if not all(variants[name].mixer for name in chosen):
        choice(
            "model.placement",
            network.placements,
            label="Placement",
            titles={name: readable(name) for name in network.placements},
            help="Where the attention is placed in each block of the backbone.",
        )
    _control(attended=bool(chosen or network.own_attention))
    in_stages = tree["placement"] != "before_classifier" or any(variants[name].mixer for name in chosen)
    _stages(network, attended=bool(chosen) and in_stages)
    if chosen:
        _start([variants[name] for name in chosen])


def _start(chosen: Sequence[Variant]) -> None:
    """Asks how the blocks start where all of them can start as the identity; else says which one cannot, and why."""
    unable = next((variant for variant in chosen if not variant.identity), None)
    if unable is None:
        field("model.attention_start", label="Start of the attention")
        return
    draft()["model"]["attention_start"] = "published"
    st.caption(f"{unable.title} cannot start as the identity, because {unable.why_no_identity}.")


def _control(*, attended: bool) -> None:
    """Asks whether the weights of the attention are learned or fixed; without attention there is nothing to ask."""
    if attended:
        field("model.control")
    else:
        draft()["model"]["control"] = "none"


def _stages(network: Network, *, attended: bool) -> None:
    """Asks which stages get attention, beside its placement; without attention there is nothing to ask."""
    options = draft()["model"]["options"]
    value = {STAGES: options.pop(STAGES)} if STAGES in options else {}
    if attended and STAGES in network.options:
        option_fields(f"model.{network.name}", {STAGES: network.options[STAGES]}, network.defaults, value)
        options.update(value)


def _network() -> None:
    networks = list_models()
    tree = draft()["model"]
    backbone = choice(
        "model.backbone", list(networks), label="Backbone", titles={name: entry.title for name, entry in networks.items()}
    )
    network = networks[backbone]
    st.caption(f"{network.summary} ({source_link(network.paper)})")
    field("model.width", placeholder=str(network.width))
    offered = {name: values for name, values in network.options.items() if name != STAGES}
    if offered:
        asked = STAGES in network.options and STAGES in tree["options"]  # beside the placement, see `_stages`
        stages = {STAGES: tree["options"][STAGES]} if asked else {}
        with st.expander("Network options", icon=":material/tune:", key="form.network_expander"):
            _grid_of(f"model.{backbone}", offered, network.defaults, tree["options"])
        tree["options"].update(stages)


def _grid_of(path: str, offered: Mapping[str, Sequence[Any]], defaults: Mapping[str, Any], into: dict[str, Any]) -> None:
    with st.grid(min(3, len(offered)), min_column_width=120):
        option_fields(path, offered, defaults, into)


def _training(*, most: bool) -> str:
    """Args: ``most``: whether the number of epochs is an upper limit. Returns the seeds as they were typed."""
    with st.grid(3, min_column_width=150):
        field("training.epochs", label="Epochs, at most" if most else None)
        for name in ("batch_size", "lr", "optimizer", "schedule", "augment"):
            field(f"training.{name}")
    with (
        st.expander("More training options", icon=":material/tune:", key="form.more_expander"),
        st.grid(2, min_column_width=150),
    ):
        tree = draft()["training"]
        for name in MORE_TRAINING:
            other, value = ONLY_WITH.get(name, (name, tree[name]))
            if tree[other] == value:
                field(f"training.{name}")
        field("dataset.validation", label="Validation share")
        field("dataset.split_seed", label="Split seed")
    return st.text_input(
        "Seeds",
        key=SEEDS,
        placeholder="the next free one",
        help="One run per seed. Write 0, or 0-4, or 0, 3, 7. Empty: the first seed not yet trained with these settings.",
        persist_state="session",
    )


def _fill(seeds_text: str, problem: str) -> FormContent:
    problems = [problem] if problem else []
    seeds: Sequence[int] = ()
    config = None
    try:
        seeds = parse_seeds(seeds_text) if seeds_text.strip() else ()
    except ValueError as error:
        problems.append(str(error))
    try:
        config = RunConfig.model_validate(draft() | {"seed": seeds[0] if seeds else 0})
    except ValueError as error:
        problems.append(explain(error))
    return FormContent(None if problems else config, tuple(seeds), "\n".join(problems))
