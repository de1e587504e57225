"""Counts at a threshold, by hand."""

import pytest

from attnlab.viz.diagnosis import confusion_figure, operating_point, precision_recall_figure, roc_figure

LABELS = [0, 0, 0, 1, 1]
SCORES = [0.1, 0.4, 0.8, 0.4, 0.9]


@pytest.mark.parametrize(
    ("threshold", "sensitivity", "specificity", "precision", "confusion"),
    [
        (0.0, 1.0, 0.0, 2 / 5, ((0, 3), (0, 2))),
        (0.4, 1.0, 1 / 3, 2 / 4, ((1, 2), (0, 2))),
        (0.5, 0.5, 2 / 3, 1 / 2, ((2, 1), (1, 1))),
        (1.0, 0.0, 1.0, None, ((3, 0), (2, 0))),
    ],
)
def test_a_threshold_counts_as_by_hand(threshold, sensitivity, specificity, precision, confusion) -> None:
    found = operating_point(LABELS, SCORES, threshold)
    assert (found.sensitivity, found.specificity, found.precision) == (sensitivity, specificity, precision)
    assert found.confusion == confusion


def test_without_positives_sensitivity_is_unknown() -> None:
    assert operating_point([0, 0], [0.2, 0.9], 0.5).sensitivity is None


def test_the_ring_lies_on_the_chosen_threshold() -> None:
    curve = {"false_positive_rate": [0, 1], "true_positive_rate": [0, 1], "threshold": [1.0, 0.0]}
    ring = roc_figure({"run": curve}, operating_point(LABELS, SCORES, 0.5)).data[-1]
    assert (ring.x[0], ring.y[0]) == (pytest.approx(1 / 3), 0.5)
    curve = {"recall": [0, 1], "precision": [1, 0.4], "threshold": [1.0, 0.0]}
    ring = precision_recall_figure({"run": curve}, 0.4, operating_point(LABELS, SCORES, 0.5)).data[-1]
    assert (ring.x[0], ring.y[0]) == (0.5, 0.5)


def test_confusion_shows_counts_and_shares_of_the_true_class() -> None:
    figure = confusion_figure(((2, 1), (1, 1)), ("benign", "malignant"))
    assert list(figure.data[0].text[0]) == ["2<br>67%", "1<br>33%"]
