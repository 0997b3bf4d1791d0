"""Learning from other networks' answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import draw_crops

from model.bundle import EMOTION_MODEL, ModelCard, read_card
from model.data.crops import hard_labelled
from model.errors import ModelError
from model.inference import Classifier
from model.training import distillation
from model.training.distillation import taught


def test_half_of_the_targets_comes_from_the_teacher() -> None:
    """Targets are the mean of the labels and of the teacher's answers to the image and its mirror image."""
    card = read_card(EMOTION_MODEL)
    crops = hard_labelled(draw_crops("joy", 5), np.arange(5), card.labels)
    classifier = Classifier(card, 5)
    answers = (classifier.predict(crops.images) + classifier.predict(crops.images[:, :, ::-1])) / 2
    learned = taught(crops, "emotion", [card, card])
    assert learned.targets["emotion"] == pytest.approx(0.5 * np.eye(7)[:5] + 0.5 * answers, abs=1e-4)
    assert np.array_equal(learned.truth["emotion"], crops.truth["emotion"])


def test_every_teacher_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is sure and two that are not teach their mean, 1.1 / 3."""

    class Teacher:
        def __init__(self, card: ModelCard, _batch_size: int) -> None:
            self.sure = float(card.path.name)

        def predict(self, images: np.ndarray) -> np.ndarray:
            return np.tile([self.sure, 1 - self.sure], (len(images), 1))

    monkeypatch.setattr(distillation, "Classifier", Teacher)
    crops = hard_labelled(np.zeros((2, 48, 48), np.uint8), np.array([0, 1]), ("a", "b"))
    teachers = [ModelCard(Path(sure), crops.labels, "", None) for sure in ("0.9", "0.1", "0.1")]
    found = taught(crops, "emotion", teachers).targets["emotion"]
    assert found[:, 0] == pytest.approx([0.5 + 0.55 / 3, 0.55 / 3])


def test_a_teacher_of_other_labels_is_refused() -> None:
    """A teacher whose labels are others, or in another order, cannot teach."""
    card = read_card(EMOTION_MODEL)
    crops = hard_labelled(draw_crops("joy", 5), np.arange(5), card.labels)
    with pytest.raises(ModelError, match="cannot teach"):
        taught(crops, "emotion", [replace(card, labels=card.labels[::-1])])
