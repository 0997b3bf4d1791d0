"""What stops a run and a person can mend. Which exit code each has stands in ``jobs/errors.py``."""


class RootError(Exception):
    """A root cannot be walked, or is so empty that its disk is probably not mounted."""


class OutageError(RootError):
    """A root does not answer for now, which says nothing about what lies in it."""


class OutputError(Exception):
    """The output folder cannot be written, or its state cannot be read."""


class OutputHeld(Exception):
    """Another run holds this output."""


class ClusterError(Exception):
    """The cluster is out of reach, or one of its workers cannot do the work."""


class NetworkError(Exception):
    """A network cannot be run, or gives no answer."""


class DetectorError(Exception):
    """The face detector cannot be built."""


class WorkersError(Exception):
    """Worker processes die one after the other, by no fault of an image."""


class UnreadError(Exception):
    """Images could not be read for now; what could be done is done and kept."""
