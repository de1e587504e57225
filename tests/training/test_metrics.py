"""Figures of an epoch and of a test, against hand counts."""

import json

import numpy as np
import pytest
import torch

from attnlab.config import ProtocolConfig
from attnlab.stats.ranks import roc_auc
from attnlab.training.metrics import CURVE_POINTS, Evaluation, RunningMetrics, describe_test

CPU = torch.device("cpu")


def one_hot(winners: list[int], classes: int) -> torch.Tensor:
    return torch.eye(classes)[winners]


@pytest.mark.parametrize(("accuracy", "right"), [("samples", 4 / 5), ("batches", (3 / 4 + 1) / 2)])
@pytest.mark.parametrize(("loss", "mean"), [("samples", (4 * 1 + 6) / 5), ("batches", (1 + 6) / 2)])
def test_accuracy_and_loss_over_images_or_over_batches(accuracy: str, right: float, loss: str, mean: float) -> None:
    """Three of four right, then a short batch of one, right: 4 of 5 images, or the mean of 3/4 and 1; losses 1 and 6."""
    sums = RunningMetrics(CPU, binary=False, protocol=ProtocolConfig(accuracy_average=accuracy, loss_average=loss))
    sums.add(torch.tensor(1.0), one_hot([0, 1, 2, 0], 3), torch.tensor([0, 1, 2, 1]))
    sums.add(torch.tensor(6.0), one_hot([2], 3), torch.tensor([2]))
    assert sums.accuracy == pytest.approx(right)
    assert sums.loss == pytest.approx(mean)
    assert sums.auc is None


def test_auc_is_that_of_the_whole_epoch() -> None:
    """Each batch ranks perfectly by itself, but over both 1 of 4 pairs is the wrong way round."""
    sums = RunningMetrics(CPU, binary=True, protocol=ProtocolConfig())
    for scores in ([0.1, 0.3], [0.2, 0.9]):
        positive = torch.tensor(scores)
        sums.add(torch.tensor(0.0), torch.stack([1 - positive, positive], dim=1), torch.tensor([0, 1]))
    assert sums.auc == pytest.approx(1.0)
    positive = torch.tensor([0.5, 0.15])
    sums.add(torch.tensor(0.0), torch.stack([1 - positive, positive], dim=1), torch.tensor([0, 1]))
    # positives .3 .9 .15, negatives .1 .2 .5: right pairs 2 + 3 + 1 of 9
    assert sums.auc == pytest.approx(6 / 9)


def test_running_sums_go_on_from_their_state() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.rand(6, 2, generator=generator).softmax(1), torch.randint(2, (6,), generator=generator)) for _ in range(4)
    ]
    whole, first = (RunningMetrics(CPU, binary=True, protocol=ProtocolConfig()) for _ in range(2))
    for number, (probabilities, labels) in enumerate(batches):
        whole.add(probabilities.mean(), probabilities, labels)
        if number < 2:
            first.add(probabilities.mean(), probabilities, labels)
    second = RunningMetrics(CPU, binary=True, protocol=ProtocolConfig())
    second.load_state_dict(first.state_dict())
    for probabilities, labels in batches[2:]:
        second.add(probabilities.mean(), probabilities, labels)
    assert (second.loss, second.accuracy, second.auc) == (whole.loss, whole.accuracy, whole.auc)


def test_sums_of_the_first_version_are_still_read() -> None:
    """They lack the sum of the losses of the batches."""
    sums = RunningMetrics(CPU, binary=False, protocol=ProtocolConfig())
    sums.load_state_dict({"sums": torch.tensor([8.0, 4.0, 3.0, 0.75, 1.0], dtype=torch.float64)})
    sums.add(torch.tensor(6.0), one_hot([2], 3), torch.tensor([2]))
    assert (sums.loss, sums.accuracy) == (pytest.approx(14 / 5), pytest.approx(4 / 5))


def test_confusion_has_true_classes_as_rows_and_keeps_classes_never_predicted() -> None:
    probabilities = one_hot([0, 1, 1, 0], 3).numpy()
    figures = describe_test(Evaluation(0, 0, None, probabilities, np.array([0, 1, 0, 2])))
    assert figures["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert "roc" not in figures


def test_curves_are_thinned_strict_json_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3000)
    scores = np.clip(rng.normal(labels * 0.2 + 0.4, 0.2), 0, 1).astype(np.float32)
    evaluation = Evaluation(0, 0, roc_auc(labels, scores), np.stack([1 - scores, scores], axis=1), labels)
    figures = json.loads(json.dumps(describe_test(evaluation), allow_nan=False))
    roc = figures["roc"]
    assert len(roc["threshold"]) <= CURVE_POINTS
    assert (roc["false_positive_rate"][0], roc["true_positive_rate"][0]) == (0, 0)
    assert (roc["false_positive_rate"][-1], roc["true_positive_rate"][-1]) == (1, 1)
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(evaluation.auc, abs=0.005)
    recall = figures["precision_recall"]["recall"]
    assert (recall[0], recall[-1]) == (1, 0)
    # A threshold of the curve, applied to the stored scores, gives the stored rate.
    middle = len(roc["threshold"]) // 2
    called = np.array(figures["probabilities"]) >= roc["threshold"][middle] - 1e-6
    assert called[labels == 1].mean() == pytest.approx(roc["true_positive_rate"][middle], abs=0.01)
