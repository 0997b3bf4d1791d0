"""The CNNs: labels, networks, data sets, training, metrics, inference. Knows Keras; neither batch nor Typer."""
