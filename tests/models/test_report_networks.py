"""Table 1's networks: exact counts, and what the published code changed."""

import pytest
import torch

from attnlab.attention import attention_taps
from attnlab.models import REPORT_ROWS, report_config, report_network

COUNTS = {
    "published": (2_625_866, 2_625_878, 2_628_830, 3_512_138, 2_918_570, 2_918_582, 2_722_260, 2_722_272, 2_626_072),
    "described": (2_625_866, 2_625_878, 2_631_794, 1_677_130, 2_918_570, 2_918_582, 2_722_260, 2_722_272, 2_626_278),
}


@pytest.mark.parametrize("protocol", COUNTS)
def test_parameter_counts_are_exact(protocol: str) -> None:
    counted = tuple(sum(p.numel() for p in report_network(row, protocol).parameters()) for row in REPORT_ROWS)
    assert counted == COUNTS[protocol]
    assert tuple(row.parameters[protocol] for row in REPORT_ROWS.values()) == counted


@pytest.mark.parametrize(
    ("row", "published", "described"),
    [
        ("CNN", 0, 0),
        ("CNN + ECA", 4, 4),
        ("CNN + CBAM", 4, 8),
        ("CNN + CBAM spatial + ECA", 4, 8),
        ("CNN + conv. autoencoder + ECA", 8, 8),
    ],
)
def test_number_of_maps(row: str, published: int, described: int) -> None:
    assert len(attention_taps(report_network(row, "published"))) == published
    assert len(attention_taps(report_network(row, "described"))) == described


def test_the_published_third_block_never_learns() -> None:
    network = report_network("CNN with three hidden layers")
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    idle = sum(p.numel() for p in network.parameters() if p.grad is None)
    assert idle == 3_512_138 - 2_625_866


def test_switches_of_the_two_protocols() -> None:
    published, described = (report_config("CNN + CBAM", protocol) for protocol in ("published", "described"))
    assert published.protocol.model_dump() == {
        "loss_head": "relu_softmax",
        "optimizer_scope": "epoch",
        "best_epoch": "second_replaces",
        "accuracy_average": "batches",
        "loss_average": "batches",
        "evaluation_mode": "evaluation",
        "drop_last": True,
    }
    assert described.protocol.model_dump() == {
        "loss_head": "logits",
        "optimizer_scope": "run",
        "best_epoch": "validation",
        "accuracy_average": "samples",
        "loss_average": "samples",
        "evaluation_mode": "evaluation",
        "drop_last": False,
    }
    assert (published.model.placement, described.model.placement) == ("block_first", "every_conv")
    assert (published.training.lr, published.training.batch_size, published.training.epochs) == (0.1, 128, 10)
    assert published.training == described.training
    assert (published.training.schedule, published.training.plateau_patience) == ("plateau", 1)


@pytest.mark.parametrize("make", [report_network, report_config])
def test_an_unknown_row_lists_the_rows(make) -> None:
    with pytest.raises(ValueError, match=r"no row 'CNN \+ SE'; its rows: CNN, CNN \+ ECA"):
        make("CNN + SE")
    with pytest.raises(ValueError, match="choose published or described"):
        make("CNN", "printed")


def test_weights_start_kaiming_normal_and_biases_zero() -> None:
    network = report_network("CNN + ECA")
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))
    assert network.classifier[1].weight.std().item() == pytest.approx((2 / 4608) ** 0.5, rel=0.02)
