"""Figures that no batch has, for they need the answers to everything at once."""

from collections.abc import Iterator

from tfzoo.layers.keywords import known_keywords


class FiguresOfAll:
    """A mix-in: `evaluate` of a task that adds such figures to loss and metrics.

    A task defines, beside what `Task` asks for:
        figures_of_all(raw, y, batch_size): Dict of them, for all of the raw input, as
            `raw_input` returns it, and its targets, as the user gave them.
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
        """Loss and metrics, and `figures_of_all`; as in Keras otherwise.

        The latter are those of raw input in memory, without weights or `steps`.
        """
        x = self.gathered(x)  # once, of a generator
        y = list(y) if isinstance(y, Iterator) else y  # it is read twice
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
