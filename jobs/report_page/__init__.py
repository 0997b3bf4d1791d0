"""The page of ``annotate-report``: figures, charts, faces."""
