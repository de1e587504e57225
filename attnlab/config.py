"""The configuration of a run: a tree of frozen, keyword-only models that goes to JSON and back.

A `RunConfig` says everything that decides a result: data set, network, training, protocol switches and seed. It is
stored with the run, a misspelt key raises, and two runs whose configs differ only in the seed form a *group*. Nothing
here imports torch, so the first page can read configurations before torch is loaded; what only a registry knows (is
there a variant called ``eca``?) is checked by `attnlab.models.build_model`.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.config import JsonDict

from attnlab.readable import readable

Placement = Literal["every_conv", "block_first", "block_end", "before_classifier"]

OWN_ATTENTION = {
    "attention_vgg16": "built-in gates",
    "cct": "attention between patches",
    "gated_cnn": "built-in gates",
    "pay_attention_vgg": "attention of its own",
    "resnet18": "",
    "resnet_cifar": "",
    "small_cnn": "",
    "vit": "attention between patches",
}
"""What the attention of each built-in network is called that has some without a variant; empty for the others.

Runs are named by it before torch is loaded. `attnlab.models.register_model` refuses a network that says otherwise.
"""

RECORDED = "recorded"
"""The backbone of a run that `attnlab.Recorder` wrote: a network that is not one of attnlab's, which it cannot build."""

MIXERS = frozenset({"bottleneck", "halo", "selective_kernel", "split_attention"})
"""The built-in variants that take the place of a convolution. For one of them alone the placement says nothing, and does not
change the id of a run; `attnlab.attention.register_attention` refuses a variant that says otherwise."""

MOST_PROBLEMS = 5
"""As many settings are named that are wrong."""


class Section(BaseModel):
    """A frozen part of a configuration. Unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """What ids are made from: the JSON tree, without later fields at their defaults (see `_later`)."""
        tree = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Section):
                tree[name] = value.identity()
            elif field.json_schema_extra == _LATER and value == field.default:
                del tree[name]
        return tree


_LATER: JsonDict = {"later": True}


def _later(default: Any, **arguments: Any) -> Any:
    """A field that was added after runs had been made. Its default is what those runs did, and does not change their ids."""
    return Field(default, json_schema_extra=_LATER, **arguments)


class DatasetConfig(Section):
    """Which images, how large, and how they are split."""

    name: str = Field(
        "digits", min_length=1, description="a built-in or torchvision data set, or the path of a folder or archive"
    )
    image_size: int | None = Field(None, ge=8, le=1024, description="side in pixels; empty: the data set's own size")
    subset: int | None = Field(None, ge=2, lt=2**31, description="training images used; empty: all")
    test_subset: int | None = Field(None, ge=2, lt=2**31, description="test images used; empty: all")
    validation: float = Field(0.1, gt=0.0, lt=1.0, description="share of the training images held out for validation")
    split_seed: int = Field(
        42, ge=0, lt=2**32, description="seed of the split into training and validation, the same for every run of a group"
    )
    options: dict[str, JsonValue] = Field(default_factory=dict, description="options of this data set, by name")


class ModelConfig(Section):
    """Which network, with which attention, and where it sits."""

    backbone: str = Field("small_cnn", description="a registered network, or one of others, as in timm/seresnet18")
    attention: str = Field("none", description="a registered variant, or several joined by +")
    attention_options: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="options of each variant: variant name -> option -> value"
    )
    placement: Placement = Field(
        "every_conv",
        description="where the attention sits: after every convolution, after the first one of each block, at the end of each "
        "block, or once, before the classifier",
    )
    attention_start: Literal["published", "identity"] = _later(
        "published",
        description="identity: each attention block starts with weights with which it changes nothing, as for a network that "
        "already has weights; only some variants can",
    )
    width: int | None = Field(None, ge=1, le=512, description="channels of the first block; empty: the backbone's own width")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="further options of this backbone, by name")
    control: Literal["none", "neutral"] = _later(
        "none",
        description="neutral: the attention has the same parameters, but its weights are fixed, in training and afterwards, at "
        "the value with which it does nothing; what the attention gains is what it is better than this control",
    )

    @property
    def foreign(self) -> bool:
        """Whether the network is not one of attnlab's, see `attnlab.adapters.networks`."""
        return "/" in self.backbone

    def identity(self) -> dict[str, Any]:
        """As for every section, without what has no effect: how no attention starts, where a mixer alone sits."""
        tree = super().identity()
        if self.attention == "none":
            tree.pop("attention_start", None)
        if self.attention in MIXERS:
            tree["placement"] = type(self).model_fields["placement"].default
        return tree


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = Field(10, ge=1, le=10_000)
    batch_size: int = Field(128, ge=1, le=65_536)
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = Field(2e-3, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(0.0, ge=0, description="how strongly weights are pulled towards 0")
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"] = Field(
        "one_cycle",
        description="how the learning rate changes. one cycle: it rises to the given rate and falls again, once; cosine: it "
        "falls along a cosine; plateau: it is divided by 10 when the validation loss stops falling",
    )
    plateau_patience: int = _later(
        2, ge=0, le=100, description="plateau: how many epochs in a row without a lower loss are allowed before the rate falls"
    )
    loss: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="focal: a cross entropy in which images that are already classified well count less"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="probability taken from the true class and spread over all classes"
    )
    focal_alpha: float = Field(0.25, ge=0, le=1, description="factor of the focal loss")
    focal_gamma: float = Field(
        2.0, ge=0, description="how much less images that are classified well count in the focal loss; 0: no less"
    )
    augment: Literal["none", "flip", "crop_flip", "rotate_flip", "rotate_nearest_flip"] = Field(
        "none",
        description="random changes of the training images: mirrored, cropped and mirrored, or turned by up to 10 degrees and "
        "mirrored; nearest: a turned pixel takes the nearest colour, as in the melanoma article, not a mean of four",
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    amp: bool = Field(True, description="bf16 autocast on a CUDA device; no effect on a CPU")


class ProtocolConfig(Section):
    """The departures of published code from its text or from good practice, each a switch (presets set them together)."""

    loss_head: Literal["logits", "relu_softmax"] = Field(
        "logits", description="relu softmax: ReLU and softmax follow the last layer, before cross entropy applies softmax again"
    )
    optimizer_scope: Literal["run", "epoch"] = Field(
        "run", description="epoch: a new optimizer and schedule start with every epoch"
    )
    best_epoch: Literal["validation", "validation_loss", "validation_auc", "second_replaces"] = Field(
        "validation",
        description="which epoch is tested. validation: the one with the highest validation accuracy; validation loss, "
        "validation auc: the lowest loss or the highest ROC AUC (two classes), for unbalanced data; second replaces: the "
        "second epoch always replaces the first, and a later one counts only if its accuracy is above that of all earlier ones",
    )
    accuracy_average: Literal["samples", "batches"] = Field(
        "samples", description="batches: the mean of the accuracies of the batches; samples: over all images at once"
    )
    loss_average: Literal["samples", "batches"] = _later(
        "samples",
        description="batches: the loss of an epoch, which the plateau schedule sees, is the mean of the losses of the batches; "
        "samples: over all images at once",
    )
    drop_last: bool = Field(False, description="leave out the incomplete last training batch")
    evaluation_mode: Literal["evaluation", "training"] = _later(
        "evaluation",
        description="training: validation and test run in training mode, as in the melanoma article, whose code never leaves "
        "it: batch norm then uses the statistics of the batch, and dropout drops",
    )


class RunConfig(Section):
    """Everything that decides a result.

    Raises:
        pydantic.ValidationError: on an unknown key, a wrong type or a value out of range; `explain` puts it in words.
    """

    dataset: DatasetConfig = DatasetConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    protocol: ProtocolConfig = ProtocolConfig()
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.training.loss == "focal" and self.protocol.loss_head == "relu_softmax":
            raise ValueError("protocol.loss_head 'relu_softmax' belongs to cross entropy; choose training.loss 'cross_entropy'")
        return self

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, so equal configs give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> RunConfig:
        return cls.model_validate_json(text)

    def changed(self, **values: Any) -> RunConfig:
        """A validated copy. Keys are dotted paths with ``__`` for the dot: ``config.changed(training__epochs=3, seed=1)``."""
        tree = self.model_dump()
        for path, value in values.items():
            *parents, leaf = path.split("__")
            node = tree
            for parent in parents:
                node = node[parent]
            node[leaf] = value
        return RunConfig.model_validate(tree)

    @property
    def recorded(self) -> bool:
        """Whether another program trained the run and `attnlab.Recorder` wrote it down.

        Its network cannot be built here, so there are no maps of other images; and only that program can stop or continue it.
        What is said of the training (epochs, optimizer and so on) are defaults that mean nothing.
        """
        return self.model.backbone == RECORDED

    @cached_property  # pages ask for those of all runs; `changed` makes a new object
    def config_hash(self) -> str:
        """Ten hex digits that name this config, seed included."""
        return _digest(self.identity())

    @cached_property
    def group(self) -> str:
        """Names all runs that differ from this one only in the seed."""
        tree = self.identity()
        del tree["seed"]
        return f"{self._readable()}-{_digest(tree)}"

    @property
    def run_id(self) -> str:
        """Readable and safe as a folder name and in a link: ``digits-small_cnn-eca-s0-1f3a9c0b2d``."""
        return f"{self._readable()}-s{self.seed}-{self.config_hash}"

    def _readable(self) -> str:
        source = re.split(r"[\\/]", self.dataset.name.rstrip("/\\"))[-1].split(".")[0]
        parts = [source, self.model.backbone, self.model.attention]
        if self.model.control != "none":
            parts.append(self.model.control)
        return "-".join(re.sub(r"[^a-zA-Z0-9_]+", "_", part).strip("_")[:32] or "x" for part in parts)


def explain(error: ValueError) -> str:
    """A validation error in plain words, one line a problem: which field, what is wrong, what was given."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    lines = []
    for problem in problems():
        where = readable(".".join(str(part) for part in problem["loc"])) or "config"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no such setting")
        else:
            lines.append(
                f"{where}: {problem['msg']} (given: {_shortened(problem['input'])})" if problem["loc"] else problem["msg"]
            )
    more = [f"and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else []
    return "\n".join(lines[:MOST_PROBLEMS] + more)


def _shortened(value: Any) -> str:
    """A value as JSON or Python writes it; of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _digest(tree: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:10]
