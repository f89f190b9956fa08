"""Averages the weights of the last epochs, which are kept on disk.

Source: Vaswani et al. 2017, section 6.1, https://arxiv.org/abs/1706.03762
"""

import keras

from tfzoo.errors import require_whole
from tfzoo.training.snapshots import Snapshots, named


class KeepLast(keras.callbacks.Callback):
    """Keeps the weights of the last epochs on disk, also over a resumed training.

    Unlike a run's checkpoints, which are written at times that depend on the machine,
    these are a function of the training alone, and so is their average.

    Args:
        directory: Where to keep them, for example a run's `checkpoints`.
        epochs: Of how many epochs.
    """

    def __init__(self, directory, *, epochs):
        super().__init__()
        require_whole("epochs", epochs, 1)
        self.snapshots = Snapshots(directory, "epoch", kept=epochs)
        self.num_copies = epochs + 1  # on disk, while another is written

    def on_epoch_end(self, epoch, logs=None):
        self.snapshots.save(epoch + 1, named(model=self.model.weights), {})

    def average(self, model):
        """Sets a model's weights to the mean of those that are kept.

        The mean is computed in float64. Weights that are no floating-point numbers, and
        all else, remain as they are.

        Args:
            model: The `keras.Model` that was trained.

        Returns:
            List of the numbers (from 1) of the epochs. Those whose weights are damaged
            on disk are left out, with a warning.

        Raises:
            OutputError: no epoch was kept, or all are damaged.
        """
        epochs = self.snapshots.intact()
        self.snapshots.load_mean(epochs, named(model=model.weights))
        return epochs
