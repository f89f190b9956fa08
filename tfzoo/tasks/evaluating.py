"""Metrics that require all predictions at once."""

from collections.abc import Iterator

from tfzoo.layers.keywords import known_keywords


class FiguresOfAll:
    """Mixin that adds such metrics to the results of `evaluate`.

    A task defines, besides what `Task` requires:
        figures_of_all(raw, y, batch_size): Dict of metrics, from the whole raw input as
            `raw_input` returns it and its targets as given by the user.
    """

    @known_keywords("verbose", "steps", "callbacks")
    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        *,
        sample_weight=None,
        return_dict=False,
        **kwargs,
    ):
        """Loss, metrics and `figures_of_all`; otherwise as in Keras.

        The latter are computed for raw input in memory, without weights or `steps`.
        """
        x = self.gathered(x)  # a generator is read once
        y = list(y) if isinstance(y, Iterator) else y  # read twice
        found = super().evaluate(
            x,
            y,
            batch_size,
            sample_weight=sample_weight,
            return_dict=True,
            **kwargs,
        )
        raw = self.raw_input(x)
        is_whole = sample_weight is None and kwargs.get("steps") is None
        if raw is not None and is_whole:
            found |= self.figures_of_all(raw, self.given_targets(x, y), batch_size)
        found = {"loss": found.pop("loss"), **found}
        return found if return_dict else list(found.values())
