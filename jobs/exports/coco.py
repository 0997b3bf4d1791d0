"""COCO's object detection format (https://cocodataset.org/#format-data): images, boxes and categories in one JSON."""

from typing import Any

from jobs.exports.records import AnnotatedTables, as_posix_name


def coco(annotated: AnnotatedTables) -> dict[str, Any]:
    """Every image that could be read, and every face with its emotion as category and the confidence as score.

    Boxes are in pixels of the upright image. ``file_name`` is below the folder that all roots lie in; ``root`` and
    ``path`` say it as the tables do.
    """
    category = {label: number for number, label in enumerate(annotated.labels, 1)}
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, (image, place) in enumerate(annotated.places(), 1):
        root, path = image.key
        size = {"width": image.row["width"], "height": image.row["height"]}
        images.append({"id": number, "file_name": as_posix_name(place), **size, "root": root, "path": path})
        for face in image.faces:
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": category[face["emotion"]],
                    "bbox": [face["x"], face["y"], face["width"], face["height"]],
                    "area": face["width"] * face["height"],
                    "segmentation": [],
                    "iscrowd": 0,
                    "score": round(face["confidence"], 6),
                    "face": face["face"],
                    "face_score": round(face["face_score"], 6),
                }
            )
    categories = [{"id": number, "name": label, "supercategory": "emotion"} for label, number in category.items()]
    about = {"description": "Faces and their emotions, by emotion-annotate", "version": annotated.model}
    return {"info": about, "licenses": [], "images": images, "annotations": boxes, "categories": categories}
