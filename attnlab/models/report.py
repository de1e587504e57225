"""The nine networks of the report's Table 1, as published and as described.

Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course report, 2023. The published code departs
from the report's text; each departure is a field of the config, and `report_config` sets them all for one row:

1. the network with "three hidden layers" never calls its third block (``model.options.dead_block``);
2. CBAM and CBAM spatial + ECA have one attention block per convolutional block, the others two (``model.placement``);
3. ReLU and softmax follow the last layer, before the cross entropy (``protocol.loss_head``);
4. optimizer and plateau schedule restart with each epoch (``protocol.optimizer_scope``);
5. the second epoch always replaces the best one, and later ones must be above all earlier ones (``protocol.best_epoch``);
6. accuracy and loss are means over batches (``protocol.accuracy_average``, ``protocol.loss_average``);
7. the linear autoencoder encodes one row at a time (``model.attention_options.linear_autoencoder.over``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from attnlab.config import DatasetConfig, ModelConfig, ProtocolConfig, RunConfig, TrainingConfig
from attnlab.models._registry import ImageShape, build_model

ReportProtocol = Literal["published", "described"]


@dataclass(frozen=True)
class ReportRow:
    """One row of Table 1.

    Attributes:
        label: as in the table.
        attention: its composition.
        accuracy, deviation: reported test accuracy, mean and standard deviation over 16 runs.
        millions: reported parameters, in millions.
        parameters: parameters counted in the published and in the described network.
    """

    label: str
    attention: str
    accuracy: float
    deviation: float
    millions: float
    parameters: dict[ReportProtocol, int]


def _row(
    label: str, attention: str, mean: float, std: float, millions: float, published: int, described: int | None = None
) -> ReportRow:
    counts: dict[ReportProtocol, int] = {"published": published, "described": published if described is None else described}
    return ReportRow(label, attention, mean, std, millions, counts)


REPORT_ROWS: dict[str, ReportRow] = {
    row.label: row
    for row in (
        _row("CNN", "none", 0.667, 0.018, 2.62, 2_625_866),
        _row("CNN + ECA", "eca", 0.667, 0.023, 2.62, 2_625_878),
        _row("CNN + CBAM", "cbam", 0.642, 0.026, 2.63, 2_628_830, 2_631_794),
        _row("CNN with three hidden layers", "none", 0.665, 0.026, 3.51, 3_512_138, 1_677_130),
        _row("CNN + conv. autoencoder", "conv_autoencoder", 0.675, 0.020, 2.92, 2_918_570),
        _row("CNN + conv. autoencoder + ECA", "eca+conv_autoencoder", 0.665, 0.018, 2.92, 2_918_582),
        _row("CNN + linear autoencoder", "linear_autoencoder", 0.602, 0.026, 2.72, 2_722_260),
        _row("CNN + linear autoencoder + ECA", "eca+linear_autoencoder", 0.607, 0.032, 2.72, 2_722_272),
        _row("CNN + CBAM spatial + ECA", "eca+cbam_spatial", 0.669, 0.014, 2.63, 2_626_072, 2_626_278),
    )
}
THREE_BLOCKS = "CNN with three hidden layers"

PROTOCOLS: dict[ReportProtocol, ProtocolConfig] = {
    "published": ProtocolConfig(
        loss_head="relu_softmax",
        optimizer_scope="epoch",
        best_epoch="second_replaces",
        accuracy_average="batches",
        loss_average="batches",
        drop_last=True,
    ),
    "described": ProtocolConfig(),
}


def report_model(row: str, protocol: ReportProtocol = "published") -> ModelConfig:
    """The network of one row.

    In both protocols the linear autoencoder works row by row: over the flattened map of the text it would not have the
    number of parameters that the report states, so ``over="map"`` remains a separate option.

    Raises:
        ValueError: for an unknown row or protocol, listing the known ones.
    """
    if row not in REPORT_ROWS:
        raise ValueError(f"the report has no row {row!r}; its rows: {', '.join(REPORT_ROWS)}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; choose published or described")
    published = protocol == "published"
    attention = REPORT_ROWS[row].attention
    options: dict[str, int | bool] = {}
    if row == THREE_BLOCKS:
        options = {"dead_block": True} if published else {"blocks": 3}
    return ModelConfig(
        attention=attention,
        placement="block_first" if published and "cbam" in attention else "every_conv",
        width=64,
        options=options,
    )


def report_config(row: str, protocol: ReportProtocol = "published", *, dataset: str = "cifar10", seed: int = 0) -> RunConfig:
    """The run of one row: SGD at 0.1 without momentum, batch size 128, 10 epochs, a tenth held out with seed 42.

    The text names no schedule, so both protocols have that of the code, a plateau schedule with patience 1.

    Raises:
        ValueError: for an unknown row or protocol, listing the known ones.
    """
    return RunConfig(
        dataset=DatasetConfig(name=dataset, image_size=32, validation=0.1, split_seed=42),
        model=report_model(row, protocol),
        training=TrainingConfig(epochs=10, batch_size=128, optimizer="sgd", lr=0.1, schedule="plateau", plateau_patience=1),
        protocol=PROTOCOLS[protocol],
        seed=seed,
    )


def report_network(row: str, protocol: ReportProtocol = "published") -> nn.Module:
    """The network of one row for CIFAR-10 images, with initial weights; returns logits (B, 10).

    Raises:
        ValueError: for an unknown row or protocol, listing the known ones.
    """
    return build_model(report_model(row, protocol), ImageShape(3, 32, 32), classes=10)
