"""The annotation job's images: in as files, out as rows. Knows OpenCV, joblib, pyarrow; neither Keras nor Typer."""

import os

# ONNX Runtime (seen in 1.32) begins its telemetry as soon as it is imported: it keeps a number of this machine and a
# database of events in the home, and knows a server for them. Here nothing is sent anywhere.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
