"""What a person can mend about models and training data."""


class ModelError(Exception):
    """The model file cannot be used: missing, damaged, of the wrong shape, or in need of code."""


class DataError(Exception):
    """The training or evaluation data cannot be used as it is."""


class TrainingError(Exception):
    """The training cannot begin or go on: a package is missing, the checkpoint is another training's, it diverged."""


class DeviceError(Exception):
    """The device asked for is not there."""
