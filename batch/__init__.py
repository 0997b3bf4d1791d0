"""The annotation job's images: in as files, out as rows. Knows OpenCV, joblib, pyarrow; neither Keras nor Typer."""
