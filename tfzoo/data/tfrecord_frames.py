"""TFRecord files as sequences of byte strings: detection, reading, damage.

A record is its length (8 bytes), the length's checksum (4), the data, the data's
checksum (4). Source: https://www.tensorflow.org/tutorials/load_data/tfrecord

TensorFlow verifies the checksums, but takes a file that ends inside a header, or gzip
data that ends early, for complete; the sizes are compared here.
"""

import gzip
import zlib

from tfzoo.errors import DataError
from tfzoo.files import readable_file, utf8_path
from tfzoo.text.lines import decompressed_size, is_gzip

HEADER_BYTES = 12
FRAME_BYTES = 16
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected


def begins_as_tfrecord(path):
    """Whether the first record's length has a valid checksum, in gzip data as well."""
    readable_file(path, DataError)
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rb") as file:
            head = file.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == HEADER_BYTES and head[8:] == _masked_checksum(head[:8])


def compression(path):
    """TensorFlow's name for the file's compression: "GZIP" or ""."""
    return "GZIP" if is_gzip(path) else ""


def read_batches(path, batch_size):
    """Yields (index of the first record, string tensor of up to `batch_size` records).

    Raises:
        DataError: the file is missing, empty or damaged; the message gives the record.
    """
    import tensorflow as tf

    from tfzoo.data.pipelines import without_waiting

    readable_file(path, DataError)
    name = utf8_path(path, DataError)
    size = decompressed_size(path)
    if size == 0:
        raise DataError("The file is empty.", path=path)
    records = without_waiting(tf.data.TFRecordDataset(name, compression(path)))
    first, read = 0, 0
    try:
        for batch in records.batch(batch_size):
            read += int(tf.reduce_sum(tf.strings.length(batch)))
            yield first, batch
            first += int(batch.shape[0])
            read += FRAME_BYTES * int(batch.shape[0])
    except tf.errors.DataLossError:
        raise _damaged(path, first + _whole_records(records.skip(first))) from None
    if read != size:
        raise _damaged(path, first)


def _whole_records(records):
    import tensorflow as tf

    count = 0
    try:
        for _ in records:
            count += 1
    except tf.errors.DataLossError:
        pass
    return count


def _damaged(path, record):
    return DataError(
        "The file is damaged or truncated here: a length or checksum is wrong.",
        path=path,
        record=record,
        fix="Create or copy the file again.",
    )


def _masked_checksum(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")
