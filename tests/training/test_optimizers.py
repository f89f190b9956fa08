import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.training import optimizers
from tfzoo.training.optimizers import AdamW
from tfzoo.training.schedules import WarmupLinearDecay

SHAPES = {"kernel": (30, 8), "bias": (8,), "embeddings": (50, 8), "gamma": (8,)}


def make_variables():
    rng = np.random.default_rng(0)
    return [
        keras.Variable(0.1 * rng.normal(size=shape).astype("float32"), name=name)
        for name, shape in SHAPES.items()
    ]


def train(optimizer, *, steps=50, jit_compile=False):
    """The variables after steps on gradients whose sizes differ widely."""
    rng = np.random.default_rng(1)
    variables = make_variables()
    optimizer.build(variables)

    @tf.function(jit_compile=jit_compile)
    def step(gradients):
        optimizer.apply(gradients, variables)

    for _ in range(steps):
        size = 3.0 ** rng.normal()
        step(
            [tf.constant(size * rng.normal(size=s), "float32") for s in SHAPES.values()]
        )
    return np.concatenate([np.ravel(v) for v in variables])


def keras_adamw(*args, **kwargs):
    optimizer = keras.optimizers.AdamW(*args, **kwargs)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
    return optimizer


PLAIN = {}
CLIPPED = {"global_clipnorm": 2.0, "epsilon": 1e-6, "beta_1": 0.8, "beta_2": 0.98}


@pytest.mark.parametrize(
    ("options", "jit_compile"),
    [
        (PLAIN, False),
        pytest.param(PLAIN, True, marks=pytest.mark.slow),
        (CLIPPED, False),
        (CLIPPED, True),
        ({"global_clipnorm": 40.0}, False),  # of norms of 4 to 330
        ({"use_ema": True, "ema_overwrite_frequency": 7}, False),
        ({"amsgrad": True, "clipnorm": 1.0}, False),
        ({"clipvalue": 0.5}, False),
        ({"gradient_accumulation_steps": 4, "global_clipnorm": 1.0}, False),
    ],
)
def test_fifty_steps_give_the_weights_of_keras(options, jit_compile):
    def schedule():
        return WarmupLinearDecay(1e-3, 10, 60)

    ours = train(AdamW(schedule(), 0.1, **options), jit_compile=jit_compile)
    keras_own = train(
        keras_adamw(schedule(), weight_decay=0.1, **options), jit_compile=jit_compile
    )
    np.testing.assert_allclose(ours, keras_own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_large_weight_decays_like_a_small_one(monkeypatch, jit_compile):
    small = train(AdamW(1e-2, 0.3), steps=5, jit_compile=jit_compile)
    monkeypatch.setattr(optimizers, "LARGE", 100)
    large = train(AdamW(1e-2, 0.3), steps=5, jit_compile=jit_compile)
    np.testing.assert_allclose(large, small, rtol=0, atol=1e-7)
    assert np.abs(small - train(AdamW(1e-2, 0.0), steps=5)).max() > 1e-3


@pytest.mark.parametrize("jit_compile", [False, True])
def test_repeated_rows_of_a_sparse_gradient_count_as_their_sum(jit_compile):
    def after(gradient):
        variable = keras.Variable(np.ones((4, 2), "float32"), name="embeddings")
        optimizer = AdamW(0.1, 0.01)
        optimizer.build([variable])
        step = tf.function(
            lambda: optimizer.apply([gradient()], [variable]), jit_compile=jit_compile
        )
        for _ in range(3):
            step()
        return variable.numpy()

    rows = [[1.0, 2.0], [-3.0, 4.0], [0.5, 0.5]]
    sparse = after(
        lambda: tf.IndexedSlices(tf.constant(rows), tf.constant([1, 1, 3]), (4, 2))
    )
    dense = after(
        lambda: tf.constant([[0.0, 0.0], [-2.0, 6.0], [0.0, 0.0], [0.5, 0.5]])
    )
    np.testing.assert_allclose(sparse, dense, rtol=0, atol=1e-7)


def test_a_model_with_an_embedding_trains_like_adam_written_in_numpy():
    ids = np.array([[1, 1, 2], [2, 2, 2]])
    inputs = keras.Input((3,), dtype="int32")
    outputs = keras.layers.Flatten()(keras.layers.Embedding(4, 2)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(AdamW(0.1, 0.02), lambda y_true, y_pred: keras.ops.sum(y_pred**2))
    weights = model.get_weights()[0].astype("float64")
    m, v = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, 4):
        gradient = np.zeros_like(weights)
        np.add.at(gradient, ids, 2 * weights[ids])
        weights -= weights * 0.1 * 0.02
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights -= rate * m / (np.sqrt(v) + 1e-7)
        model.train_on_batch(ids, np.zeros((2, 6)))
    np.testing.assert_allclose(model.get_weights()[0], weights, rtol=0, atol=1e-6)


def small_model(optimizer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    x = keras.layers.EinsumDense("bd,dnh->bnh", (2, 4), bias_axes="nh", name="query")(
        inputs
    )
    x = keras.layers.LayerNormalization()(keras.layers.Flatten()(x))
    x = keras.layers.RMSNormalization(name="last_norm")(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.compile(optimizer, "mse", run_eagerly=True)
    model.fit(np.ones((8, 5)), np.ones((8, 3)), verbose=0)
    return model


def test_biases_and_norms_do_not_decay_also_after_a_reload(tmp_path):
    model = small_model(AdamW(1e-3, 0.1))
    model.save(tmp_path / "model.keras")
    for m in (model, keras.models.load_model(tmp_path / "model.keras")):
        decaying = {v.path for v in m.trainable_variables if m.optimizer.decays(v)}
        assert len(decaying) == 2
        assert {path.rpartition("/")[2] for path in decaying} == {"kernel"}


def test_a_reloaded_model_continues_training_like_the_original(tmp_path):
    model = small_model(AdamW(1e-2, 0.5, global_clipnorm=0.1))
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    for m in (model, copy):
        m.fit(np.ones((8, 5)), np.zeros((8, 3)), epochs=5, verbose=0)
    for ours, theirs in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_undecayed_selects_the_variables_without_decay():
    kernel, *_ = make_variables()
    assert AdamW(1e-3).decays(kernel)
    assert not AdamW(1e-3, undecayed="kernel").decays(kernel)
    assert AdamW.from_config(AdamW(1e-3, undecayed="k").get_config()).undecayed == "k"


def test_exclude_from_weight_decay_is_refused():
    with pytest.raises(ValueError, match=r"undecayed.*var_names=\['bias'\]"):
        AdamW(1e-3).exclude_from_weight_decay(var_names=["bias"])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_loss_scaling_skips_a_step_that_overflows_and_then_trains(jit_compile):
    variable = keras.Variable([1.0, 2.0], name="kernel")
    optimizer = keras.optimizers.LossScaleOptimizer(AdamW(0.1), initial_scale=4.0)
    optimizer.build([variable])
    step = tf.function(
        lambda gradient: optimizer.apply([gradient], [variable]),
        jit_compile=jit_compile,
    )
    step(tf.constant([np.inf, 1.0]))
    np.testing.assert_array_equal(variable, [1.0, 2.0])
    assert float(optimizer.dynamic_scale) == 2.0
    step(tf.constant([1.0, 1.0]))
    assert np.all(variable.numpy() < [1.0, 2.0])
    assert int(optimizer.iterations) == 1


@pytest.mark.slow
def test_mixed_float16_learns():
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(1, dtype="mixed_float16")
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs, keras.layers.Activation("linear", dtype="float32")(layer(inputs))
    )
    model.compile(keras.optimizers.LossScaleOptimizer(AdamW(0.05, 0.0)), "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    losses = model.fit(x, x.sum(1), batch_size=64, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]


def test_variables_without_a_gradient_are_named():
    first, second = keras.Variable([1.0], name="a"), keras.Variable([1.0], name="b")
    optimizer = AdamW(0.1)
    with pytest.warns(UserWarning, match=r"no gradient: \['b'\]"):
        optimizer.apply([tf.constant([1.0]), None], [first, second])
    assert second.numpy() == [1.0]
    with pytest.raises(ValueError, match="no gradients for 2"):
        optimizer.apply([None, None], [first, second])


def test_a_gradient_that_is_not_finite_reaches_every_weight_when_clipping():
    first, second = keras.Variable([1.0], name="a"), keras.Variable([1.0], name="b")
    AdamW(0.1, global_clipnorm=1.0).apply(
        [tf.constant([np.nan]), tf.constant([1.0])], [first, second]
    )
    assert np.isnan(second.numpy()).all()


def test_apply_where_updates_like_apply_or_changes_no_bit():
    variables, others = make_variables(), make_variables()
    optimizer, other = AdamW(0.1, **CLIPPED), AdamW(0.1, **CLIPPED)
    gradients = [tf.ones(shape) for shape in SHAPES.values()]
    broken = [gradient * np.nan for gradient in gradients]
    for _ in range(2):
        optimizer.apply_where(tf.constant(value=True), gradients, variables)
        other.apply(gradients, others)
        optimizer.apply_where(tf.constant(value=False), broken, variables)
    pairs = zip(
        [*variables, *optimizer.variables], [*others, *other.variables], strict=True
    )
    for variable, expected in pairs:
        np.testing.assert_array_equal(variable, expected, variable.path)
