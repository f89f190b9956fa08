"""`fit`, `evaluate` and `predict` return with their last batch."""

import time

import keras
import pytest
import tensorflow as tf

from tfzoo.tasks import TextClassifier

WAITS = 0.5  # seconds after the last batch
BATCHES = 6


class Slow(keras.callbacks.Callback):
    """Lengthens batches, with busy cores as in training; records when they ended."""

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds / BATCHES
        self._square = tf.random.normal((600, 600))

    def _work(self, batch, logs=None):
        end = time.perf_counter() + self._seconds
        while time.perf_counter() < end:
            tf.matmul(self._square, self._square).numpy()
        self.ended = time.perf_counter()

    on_train_batch_end = on_test_batch_end = on_predict_batch_end = _work


@pytest.fixture(scope="module")
def texts():
    return [f"the cat {'good' if i % 2 else 'bad'} dog" for i in range(BATCHES * 4)]


@pytest.fixture
def classifier(make_encoder, tokenizer, texts):
    model = TextClassifier(make_encoder(), tokenizer, ["no", "yes"])
    model.compile(total_steps=100)
    model.fit(texts, ["no", "yes"] * 12, batch_size=4, verbose=0)
    model.evaluate(texts, ["no", "yes"] * 12, batch_size=4, verbose=0)
    model.predict(texts, batch_size=4, verbose=0)
    return model


def passes(model, texts):
    """One pass each over lists and datasets, as functions of the callbacks."""
    names = ["no", "yes"] * 12
    options = dict(batch_size=4, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((texts, names))
    nested = tf.data.Dataset.range(1).flat_map(lambda _: data).batch(4)
    held_out = dict(validation_data=(texts, names))
    return [
        lambda c: model.fit(texts, names, callbacks=c, **options),
        lambda c: model.fit(texts[:4], names[:4], **held_out, callbacks=c, **options),
        lambda c: model.fit(nested, validation_data=nested, callbacks=c, verbose=0),
        lambda c: model.evaluate(texts, names, callbacks=c, **options),
        lambda c: model.predict(texts, callbacks=c, **options),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.2, 2, 3.5, 6, 12])
def test_no_call_waits_after_its_last_batch(classifier, texts, seconds):
    waited = []
    for call in passes(classifier, texts):
        for duration in (0, seconds):  # the first time is for tracing
            slow = Slow(duration)
            call([slow])
            left = time.perf_counter() - slow.ended
        waited.append(left)
    assert max(waited) < WAITS, waited
