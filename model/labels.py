"""The emotions and the names under which the field's data sets know them."""

NEUTRAL = "neutral"
EMOTIONS = ("joy", "anger", "sadness", "disgust", "fear", "surprise", NEUTRAL)
"""The six universal emotions (Ekman 1992) and neutral, in the order of the output's columns."""

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
