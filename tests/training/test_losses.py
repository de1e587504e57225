"""Losses against values worked out by hand, and what the report's loss head does to cross entropy."""

import math

import pytest
import torch
from torch.nn import functional as F

from attnlab.config import RunConfig
from attnlab.training.losses import Objective, class_probabilities, focal_loss

CONFIG = RunConfig()


@pytest.mark.parametrize(
    ("probability", "label", "expected"),
    [
        (0.9, 1, 0.25 * 0.1**2 * -math.log(0.9)),  # easy: next to nothing
        (0.9, 0, 0.25 * 0.9**2 * -math.log(0.1)),  # wrong and sure: nearly all of the cross entropy, times alpha
        (0.5, 1, 0.25 * 0.25 * math.log(2)),
    ],
)
def test_focal_loss_of_one_output_by_hand(probability: float, label: int, expected: float) -> None:
    labels = torch.tensor([label])
    logit = torch.tensor([[math.log(probability / (1 - probability))]])
    assert focal_loss(logit, labels).item() == pytest.approx(expected, rel=1e-5)
    assert focal_loss(torch.tensor([[probability]]), labels, from_probabilities=True).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_focal_loss_of_several_classes_by_hand() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    labels = torch.tensor([0, 2])
    expected = (0.3**2 * -math.log(0.7) + 0.7**2 * -math.log(0.3)) / 2
    assert focal_loss(probabilities.log(), labels, alpha=1.0).item() == pytest.approx(expected, rel=1e-5)
    assert focal_loss(probabilities, labels, alpha=1.0, from_probabilities=True).item() == pytest.approx(expected, rel=1e-5)
    weighted = (2 * 0.3**2 * -math.log(0.7) + 5 * 0.7**2 * -math.log(0.3)) / 2
    assert focal_loss(probabilities.log(), labels, alpha=(2.0, 3.0, 5.0)).item() == pytest.approx(weighted, rel=1e-5)


def test_focal_loss_is_cross_entropy_when_gamma_is_zero() -> None:
    logits, labels = torch.randn(16, 5), torch.randint(5, (16,))
    torch.testing.assert_close(focal_loss(logits, labels, alpha=1.0, gamma=0.0), F.cross_entropy(logits, labels))


def test_two_outputs_and_one_agree() -> None:
    score, labels = torch.randn(12), torch.randint(2, (12,))
    two = torch.stack([torch.zeros(12), score], dim=1)
    torch.testing.assert_close(focal_loss(score[:, None], labels), focal_loss(two, labels))
    torch.testing.assert_close(class_probabilities(score[:, None]), class_probabilities(two))
    for smoothing in (0.0, 0.1):
        objective = Objective(CONFIG.changed(training__label_smoothing=smoothing))
        torch.testing.assert_close(objective.loss(score[:, None], labels), objective.loss(two, labels))


def test_focal_loss_is_finite_for_sure_and_wrong_outputs() -> None:
    for outputs, probabilities in ((torch.tensor([[200.0]]), False), (torch.tensor([[1.0]]), True)):
        outputs.requires_grad_()
        loss = focal_loss(outputs, torch.tensor([0]), from_probabilities=probabilities)
        loss.backward()
        assert loss.isfinite() and outputs.grad is not None and outputs.grad.isfinite().all()


def test_focal_loss_refuses_a_wrong_number_of_class_weights() -> None:
    with pytest.raises(ValueError, match="2 class weights for 3 classes"):
        focal_loss(torch.zeros(1, 3), torch.tensor([0]), alpha=(0.25, 0.75))


def test_relu_softmax_before_cross_entropy_has_a_floor() -> None:
    """However sure the network is, ten classes cannot get below 1.4612; with plain logits the loss goes to zero."""
    sure = torch.full((1, 10), -1e4)
    sure[0, 3] = 1e4
    label = torch.tensor([3])
    published = Objective(CONFIG.changed(protocol__loss_head="relu_softmax"))
    assert published.loss(sure, label).item() == pytest.approx(1.4612, abs=1e-4)
    assert Objective(CONFIG).loss(sure, label).item() == pytest.approx(0, abs=1e-6)
    # All negative logits are the same to it: ReLU makes them uniform.
    torch.testing.assert_close(published.probabilities(-torch.rand(1, 10)), torch.full((1, 10), 0.1))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("outputs", [[[40.0, -40.0], [-40.0, 40.0]], [[-40.0], [40.0]]])
def test_focal_loss_of_sure_predictions_has_finite_gradients(gamma: float, outputs: list[list[float]]) -> None:
    sure = torch.tensor(outputs, requires_grad=True)
    for labels in ([0, 1], [1, 0]):  # right, and wrong
        loss = focal_loss(sure, torch.tensor(labels), gamma=gamma)
        (gradient,) = torch.autograd.grad(loss, sure)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_the_published_head_leaves_a_single_output_as_it_is() -> None:
    objective = Objective(CONFIG.changed(protocol__loss_head="relu_softmax"))
    logit = torch.tensor([[-3.0], [0.0], [3.0]])
    torch.testing.assert_close(objective.probabilities(logit)[:, 1], logit[:, 0].sigmoid())
