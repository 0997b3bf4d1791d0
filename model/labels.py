"""The emotions and the names under which the field's data sets know them."""

NEUTRAL = "neutral"
EMOTIONS = ("joy", "anger", "sadness", "disgust", "fear", "surprise", NEUTRAL)
"""The six universal emotions (Ekman 1992) and neutral, in the order of the output's columns."""

NO_FACE = "no_face"
"""What somebody calls an image that was taken for a face and is none."""

FER2013_IDS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
"""FER2013's emotion ids 0 to 6."""

FERPLUS_COLUMNS = (
    "neutral",
    "joy",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "no face",
)
"""The crowd's choices in ``fer2013new.csv`` (Barsoum et al. 2016), in its order of columns."""

SYNONYMS = {
    "joy": ("joyful", "happy", "happiness"),
    "anger": ("angry",),
    "sadness": ("sad",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared"),
    "surprise": ("surprised",),
    "neutral": ("neutrality", "calm"),
}
"""The other names of each emotion in FER2013, CK+, JAFFE, RAF-DB, AffectNet, KDEF, RaFD and RAVDESS."""

_EMOTION_OF = {name: emotion for emotion in EMOTIONS for name in (emotion, *SYNONYMS[emotion])}


def label_index(name: str, labels: tuple[str, ...]) -> int | None:
    """The index into ``labels`` of the label that a data set calls ``name``, None if it is none of them.

    A name stands for itself first, in any case, and then for the emotion that it is a synonym of.
    """
    plain = name.strip().casefold()
    for index, label in enumerate(labels):
        if label.casefold() == plain:
            return index
    emotion = _EMOTION_OF.get(plain)
    known_as = [_EMOTION_OF.get(label.casefold()) for label in labels]
    return known_as.index(emotion) if emotion in known_as and emotion is not None else None


def is_no_face(name: str) -> bool:
    """Whether a class is called ``no_face``."""
    return name.strip().casefold() == NO_FACE


def describe(labels: tuple[str, ...]) -> str:
    """List ``labels`` for a person, with the synonyms that are understood."""
    return ", ".join(f"{x} ({', '.join(SYNONYMS[x])})" if x in SYNONYMS else x for x in labels)
