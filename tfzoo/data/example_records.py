"""Records from TFRecord files (`tf.train.Example`) and from TensorFlow Datasets."""

import dataclasses
import re

from tfzoo.data.records import Record
from tfzoo.data.tfrecord_frames import read_batches
from tfzoo.errors import DataError

_READ_AT_ONCE = 256


def read_examples_file(path):
    """Yields the `tf.train.Example`s of a TFRecord file, gzip or not, as records.

    A feature with one value becomes that value, any other a list; bytes are decoded as
    UTF-8.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    for first, batch in read_batches(path, _READ_AT_ONCE):
        for number, data in enumerate(batch.numpy(), start=first):
            place = Record((), (), str(path), number, "record", ordered=False)
            try:
                features = tf.train.Example.FromString(data).features.feature
            except DecodeError:
                raise place.error("The record must be a tf.train.Example.") from None
            names = tuple(sorted(features))
            values = tuple(_feature(place, name, features[name]) for name in names)
            yield dataclasses.replace(place, names=names, values=values)


def read_tfds(spec):
    """Yields the elements of `tfds:NAME[/config][:split]` as records.

    Class labels become class names; bytes are decoded as UTF-8.

    Raises:
        DataError: the dataset or split does not exist or cannot be fetched.
    """
    builder, split = _tfds_builder(spec)
    try:
        import tensorflow_datasets as tfds

        builder.download_and_prepare()
        elements = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False))
    except Exception as e:  # whatever the dataset's own code or the network raises
        raise DataError(f"The dataset cannot be read: {e}", path=spec) from e
    return _tfds_records(spec, elements, builder.info.features)


def tfds_full_name(spec):
    """Full name of `tfds:NAME[/config][:split]`: name, config, version and split."""
    builder, split = _tfds_builder(spec)
    return f"{builder.info.full_name}:{split}"


def _tfds_builder(spec):
    match = re.fullmatch(r"tfds:([^:]+?)(?::([A-Za-z_].*))?", spec)
    if match is None:
        raise DataError("Must have the form tfds:NAME[/config][:split].", path=spec)
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise DataError(
            f"tensorflow_datasets cannot be imported: {e}.",
            path=spec,
            fix="pip install tensorflow-datasets",
        ) from e
    try:
        return tfds.builder(match[1]), match[2] or "train"
    except Exception as e:
        raise DataError(f"The dataset cannot be found: {e}", path=spec) from e


def _tfds_records(spec, elements, features):
    for number, element in enumerate(elements):
        place = Record((), (), spec, number, "record", ordered=False)
        if not isinstance(element, dict):
            raise place.error("The dataset's elements must have named features.")
        values = tuple(
            _plain(place, name, value, features[name])
            for name, value in element.items()
        )
        yield dataclasses.replace(place, names=tuple(element), values=values)


def _plain(place, name, value, feature):
    class_name = getattr(feature, "int2str", None)
    if class_name is not None and 0 <= int(value) < feature.num_classes:
        return class_name(int(value))
    if isinstance(value, bytes):
        return _text(place, name, value)
    if not hasattr(value, "tolist"):
        return value
    value = value.tolist()
    if isinstance(value, list):
        return [_text(place, name, v) if isinstance(v, bytes) else v for v in value]
    return value


def _feature(place, name, feature):
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(feature, kind).value)
    if kind == "bytes_list":
        values = [_text(place, name, value) for value in values]
    return values[0] if len(values) == 1 else values


def _text(place, name, value):
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise place.error(f"Feature {name!r} must be UTF-8 text.") from None
