"""Plain baselines: what a model must beat to be worth its time.

Each is a function of training examples, their labels and other examples that returns
the labels it predicts for the latter. Equal arguments give equal labels.

Shapes: N words, K features, F possible features, C labels.
"""

import collections
import itertools

import keras
import numpy as np
import tensorflow as tf

_NOT_LEARNED = (-1, -100)  # labels of ignored words, as for a `TokenClassifier`
_OUTSIDE, _UNKNOWN = 0, 1  # ids that stand for no word
_PAIRS = 1 << 15  # features for hashed pairs of words
_WINDOW = dict(
    most_words=20_000, epochs=2, least_steps=300, batch_size=4096, learning_rate=0.01
)
_BAG = dict(most_features=20_000, epochs=30, batch_size=32, learning_rate=0.01)


def tag_by_word(sentences, labels, others):
    """Labels every word as it is labeled most often; unknown ones as words are.

    Args:
        sentences: Lists of words.
        labels: For each sentence the labels of its words; -1 and -100 mark words to
            ignore.
        others: Lists of words.

    Returns:
        For each sentence in `others` a list of labels.
    """
    counts, total = collections.defaultdict(collections.Counter), collections.Counter()
    for word, label in zip(_joined(sentences), _joined(labels), strict=True):
        if label not in _NOT_LEARNED:
            counts[word][label] += 1
            total[label] += 1
    return [
        [counts.get(word, total).most_common(1)[0][0] for word in words]
        for words in others
    ]


def tag_by_window(sentences, labels, others, *, radius, seed=0):
    """Labels words by those around them: logistic regression, a single dense layer.

    Its inputs are one-hot: which word is at each distance of at most `radius`, among
    the 20,000 most frequent ones that occur at least twice; which pairs the word makes
    with the ones before and behind it; and its last three characters. Nothing is seen
    beyond the sentence.

    Args:
        sentences: Lists of words.
        labels: As for `tag_by_word`.
        others: Lists of words.
        radius: Number of words on either side.
        seed: Seed of the order of the words in training.

    Returns:
        For each sentence in `others` a list of labels.
    """
    counts = collections.Counter(_joined(sentences)).most_common(_WINDOW["most_words"])
    known = [word for word, count in counts if count > 1]
    ids = {word: i for i, word in enumerate(known, _UNKNOWN + 1)}
    targets = list(_joined(labels))
    names = sorted({*targets} - {*_NOT_LEARNED})
    numbers = {name: i for i, name in enumerate(names)}
    learned = np.flatnonzero([label in numbers for label in targets])
    learned = np.random.default_rng(seed).permutation(learned)
    steps = -(-len(learned) // _WINDOW["batch_size"])
    features, num_features = _features(sentences, ids, radius)
    model = _one_layer(features.shape[1], num_features, len(names))
    model.fit(
        features[learned],
        np.array([numbers[targets[i]] for i in learned], np.int32),
        batch_size=_WINDOW["batch_size"],
        epochs=max(_WINDOW["epochs"], -(-_WINDOW["least_steps"] // steps)),
        shuffle=False,
        verbose=0,
    )
    others = [*map(list, others)]
    logits = model.predict(
        _features(others, ids, radius)[0], batch_size=_WINDOW["batch_size"], verbose=0
    )
    found = iter([names[i] for i in logits.argmax(axis=-1)])
    return [[*itertools.islice(found, len(words))] for words in others]


def classify_by_bag(texts, labels, others, *, characters=False, seed=0):
    """Classifies texts by TF-IDF: logistic regression, a single dense layer.

    Its inputs are the words and the pairs of words in a text, or its sequences of one
    to five characters, in lowercase, weighted by TF-IDF and scaled to norm 1.

    Args:
        texts: Strings.
        labels: Their labels.
        others: Strings.
        characters: Whether features are characters, not words.
        seed: Seed of the order of the texts in training.

    Returns:
        List of labels.
    """
    names = sorted(set(labels))
    numbers = {name: i for i, name in enumerate(names)}
    batch_size = _BAG["batch_size"]
    vectorize = keras.layers.TextVectorization(
        max_tokens=_BAG["most_features"],
        standardize="lower" if characters else "lower_and_strip_punctuation",
        split="character" if characters else "whitespace",
        ngrams=5 if characters else 2,
        output_mode="tf_idf",
    )
    order = np.random.default_rng(seed).permutation(len(texts))
    texts = tf.constant([texts[i] for i in order])
    vectorize.adapt(tf.data.Dataset.from_tensor_slices(texts).batch(batch_size))

    def vectors(texts, *targets):
        data = tf.data.Dataset.from_tensor_slices((texts, *targets)).batch(batch_size)
        # The layer itself cannot return sparse vectors of TF-IDF.
        data = data.map(lambda x, *y: (tf.sparse.from_dense(vectorize(x)), *y))
        return data.cache().map(lambda x, *y: (tf.sparse.to_dense(x), *y))

    width = vectorize.vocabulary_size()
    model = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.UnitNormalization(),
            keras.layers.Dense(len(names), kernel_initializer="zeros"),
        ]
    )
    _compile(model, _BAG["learning_rate"])
    targets = np.array([numbers[labels[i]] for i in order], np.int32)
    model.fit(vectors(texts, targets), epochs=_BAG["epochs"], shuffle=False, verbose=0)
    logits = model.predict(vectors(tf.constant(others)), verbose=0)
    return [names[i] for i in logits.argmax(axis=-1)]


def _joined(rows):
    return itertools.chain.from_iterable(rows)


def _features(sentences, ids, radius):
    """The features of every word, int32 (N, K), and their number F."""
    flat, places, endings = [_OUTSIDE] * (radius + 1), [], []
    known = {word[-3:]: i for i, word in enumerate(ids, _UNKNOWN + 1)}
    for sentence in sentences:
        places += range(len(flat), len(flat) + len(sentence))
        flat += [ids.get(word, _UNKNOWN) for word in sentence]
        flat += [_OUTSIDE] * (radius + 1)
        endings += [known.get(word[-3:], _UNKNOWN) for word in sentence]
    flat, places = np.array(flat, np.int64), np.array(places)
    pairs = (flat[:-1] * 1_000_003 + flat[1:]) % _PAIRS  # hashed
    words = [flat[places + offset] for offset in range(-radius, radius + 1)]
    columns = [*words, np.array(endings), pairs[places - 1], pairs[places]]
    num_words = len(ids) + 2
    sizes = [num_words] * (len(words) + 1) + [_PAIRS] * 2
    first = np.cumsum([0, *sizes])
    features = np.stack(columns, axis=1) + first[:-1]
    return features.astype(np.int32), int(first[-1])


def _one_layer(num_columns, num_features, num_labels):
    """A dense layer over one-hot features, looked up instead of multiplied."""
    features = keras.Input((num_columns,), dtype="int32")
    weights = keras.layers.Embedding(
        num_features, num_labels, embeddings_initializer="zeros"
    )
    model = keras.Model(features, keras.ops.sum(weights(features), axis=1))
    _compile(model, _WINDOW["learning_rate"])
    return model


def _compile(model, learning_rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss)
