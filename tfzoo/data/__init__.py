"""Files to records to batches: readers, sentence pairs, masking, length buckets."""

from tfzoo.lazy import exports

_HOMES = {
    "Examples": "tfzoo.data.examples",
    "PackedText": "tfzoo.data.packing",
    "Record": "tfzoo.data.readers",
    "RecordSource": "tfzoo.data.pretraining_records",
    "TextSource": "tfzoo.data.pretraining_text",
    "WordMasking": "tfzoo.data.masking",
    "bucketed_batches": "tfzoo.data.buckets",
    "bucketed_strings": "tfzoo.data.string_batches",
    "known_labels": "tfzoo.data.examples",
    "label_list": "tfzoo.data.examples",
    "open_pretraining_data": "tfzoo.data.pretraining",
    "open_packed_text": "tfzoo.data.packing",
    "ordered_batches": "tfzoo.data.buckets",
    "padded_batches": "tfzoo.data.buckets",
    "padded_strings": "tfzoo.data.string_batches",
    "prepare_pretraining_data": "tfzoo.data.preparation",
    "pretraining_dataset": "tfzoo.data.pretraining",
    "read_examples": "tfzoo.data.examples",
    "read_records": "tfzoo.data.readers",
    "without_waiting": "tfzoo.data.pipelines",
}
__all__ = sorted(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
