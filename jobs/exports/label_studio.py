"""Label Studio's tasks with predictions (https://labelstud.io/guide/predictions), to be put right by people."""

from typing import Any
from urllib.parse import quote

from batch.names import from_text
from batch.roots import open_root
from batch.roots.store import Store
from jobs.exports.records import AnnotatedImage, AnnotatedTables, as_posix_name

_LOCAL_FILES = "/data/local-files/?d="
"""What Label Studio answers with a file below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def label_studio(annotated: AnnotatedTables) -> list[dict[str, Any]]:
    """A task per image that could be read, with its faces as predicted rectangles; the least sure is the task's score.

    Sizes and places are percent of the upright image, as a browser shows it. Images of folders are local files below
    the folder that all roots lie in, those of stores are URLs.
    """
    model = f"emotion-annotate {annotated.model[:12]}"
    tasks = []
    for image, place in annotated.places():
        root, path = image.key
        stored = isinstance(open_root(root), Store)
        url = f"{root}/{from_text(path)}" if stored else _LOCAL_FILES + quote(as_posix_name(place))
        prediction = {
            "model_version": model,
            "score": round(min((face["confidence"] for face in image.faces), default=1.0), 6),
            "result": [_rectangle(face, image) for face in image.faces],
        }
        tasks.append({"data": {"image": url, "root": root, "path": path}, "predictions": [prediction]})
    return tasks


def _rectangle(face: dict[str, Any], image: AnnotatedImage) -> dict[str, Any]:
    width, height = image.row["width"], image.row["height"]
    return {
        "id": f"face-{face['face']}",
        "type": "rectanglelabels",
        "from_name": "emotion",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * face["x"] / width,
            "y": 100 * face["y"] / height,
            "width": 100 * face["width"] / width,
            "height": 100 * face["height"] / height,
            "rotation": 0,
            "rectanglelabels": [face["emotion"]],
        },
        "score": round(face["confidence"], 6),
    }
