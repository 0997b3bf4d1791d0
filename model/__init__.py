"""The CNNs: labels, networks, data sets, training, metrics, inference. Knows Keras; neither batch nor Typer."""

import os
from pathlib import Path

if not Path(os.path.expanduser("~"), ".keras", "keras.json").exists():  # noqa: PTH111 - Path's raises without a home
    # Keras, when it is imported, would write its settings to ~/.keras, or to /tmp/.keras; here it can make no folder.
    os.environ.setdefault("KERAS_HOME", os.devnull)

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in batch/, which model does not know
