"""The article's claim on figures whose answer is known."""

import numpy as np
import pytest

from attnlab.explain.concentration import Concentration, LayerMeasures, article_claims


def measured(late_entropy: float, on_lesion: tuple[float, float]) -> Concentration:
    """40 images, every second one malignant; the early layer is uniform, the late one as given, with a little spread."""
    noise = np.random.default_rng(0).normal(0, 0.01, 40)
    labels = np.arange(40) % 2
    early = LayerMeasures("pool3", np.full(40, 0.98) + noise / 10, np.full(40, 1.0) + noise, np.zeros(40, bool))
    weight = np.where(labels == 1, on_lesion[1], on_lesion[0]) + noise[::-1]
    late = LayerMeasures("pool4", np.full(40, late_entropy) + noise / 10, weight, labels == 1)
    return Concentration((early, late), labels, np.full((40, 2), 0.5, np.float32))


def test_a_concentrated_late_gate_bears_the_article_out() -> None:
    claims = article_claims(measured(0.6, (1.2, 2.0)), positive=1)
    assert [claim.holds for claim in claims] == [True, True, True, True]
    assert claims[0].interval.value == pytest.approx(0.38, abs=0.01)
    assert claims[3].interval.value == pytest.approx(0.8, abs=0.02)


def test_a_diffuse_late_gate_beside_the_lesion_refutes_it() -> None:
    claims = article_claims(measured(0.99, (0.9, 0.5)), positive=1)
    assert [claim.holds for claim in claims] == [False, False, False, False]


def test_what_lies_within_the_noise_is_not_told() -> None:
    claims = article_claims(measured(0.98, (1.0, 1.0)), positive=1)
    assert claims[1].holds is None and claims[3].holds is None


def test_the_table_has_a_row_for_each_layer_and_class_with_its_own_images() -> None:
    rows = measured(0.6, (1.2, 2.0)).table(("benign", "malignant"))
    assert [(row["layer"], row["class"], row["images"]) for row in rows] == [
        ("pool3", "benign", 20),
        ("pool3", "malignant", 20),
        ("pool4", "benign", 20),
        ("pool4", "malignant", 20),
    ]
    assert rows[3]["pointing"].value == 1 and rows[2]["pointing"].value == 0
    assert rows[3]["on_mask"].value == pytest.approx(2.0, abs=0.01)
