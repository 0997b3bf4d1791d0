"""Drawn faces: small real images whose emotion is in the mouth and the brows."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_MOUTHS = {"joy": (20, 160), "sadness": (200, 340)}


def draw_face(emotion: str, rng: np.random.Generator, size: int = 64) -> Image.Image:
    """A face with the emotion's mouth, a random place and random gray levels; never the same twice."""
    image = Image.fromarray(rng.integers(90, 130, (size, size), dtype=np.uint8))
    pen, skin, ink = ImageDraw.Draw(image), int(rng.integers(170, 240)), int(rng.integers(0, 60))
    x, y, r = *rng.uniform(0.46, 0.54, 2) * size, 0.38 * size
    pen.ellipse((x - r, y - r, x + r, y + r), fill=skin)
    for side in (-1, 1):
        eye = x + side * 0.4 * r
        pen.ellipse((eye - 3, y - 0.4 * r - 3, eye + 3, y - 0.4 * r + 3), fill=ink)
        slope = {"anger": 5, "joy": 0, "sadness": -3}.get(emotion, 0)
        pen.line((eye - side * 5, y - 0.6 * r + slope, eye + side * 5, y - 0.6 * r - slope), fill=ink, width=2)
    if emotion in _MOUTHS:
        drop = 0.1 * r if emotion == "joy" else 0.45 * r
        pen.arc((x - 0.5 * r, y + drop - 0.3 * r, x + 0.5 * r, y + drop + 0.4 * r), *_MOUTHS[emotion], ink, 3)
    else:
        pen.line((x - 0.4 * r, y + 0.5 * r, x + 0.4 * r, y + 0.5 * r), fill=ink, width=3)
    return image


def draw_crops(emotion: str, count: int, seed: int = 0) -> np.ndarray:
    """Crops (count, 48, 48) uint8 of different faces with that emotion."""
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(draw_face(emotion, rng).resize((48, 48))) for _ in range(count)])


def write_class_folders(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Write ``counts[folder]`` PNG files into each folder; the folder's last part names the emotion."""
    emotions = {"happy": "joy", "sad": "sadness", "angry": "anger"}
    for number, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True)
        name = folder.rsplit("/", 1)[-1]
        rng = np.random.default_rng((seed, number))
        for index in range(count):
            draw_face(emotions.get(name, name), rng).save(root / folder / f"{index}.png")
    return root
