"""From files to records to batches: readers, sentence pairs, masking, bucketing."""

from tfzoo.lazy import exports

_HOMES = {
    "tfzoo.data.examples": "Examples known_labels label_list read_examples",
    "tfzoo.data.packing": "PackedText open_packed_text",
    "tfzoo.data.records": "Record",
    "tfzoo.data.text_pairs": "TextPairs read_pairs read_parallel",
    "tfzoo.data.readers": "read_records",
    "tfzoo.data.running_text": "RunningText",
    "tfzoo.data.whole_text": "WholeSentences WholeText",
    "tfzoo.data.pretraining_records": "RecordSource",
    "tfzoo.data.pretraining_text": "TextSource",
    "tfzoo.data.masking": "WordMasking",
    "tfzoo.data.buckets": "bucketed_batches ordered_batches padded_batches",
    "tfzoo.data.string_batches": "bucketed_strings padded_strings",
    "tfzoo.data.pretraining": "open_pretraining_data pretraining_dataset",
    "tfzoo.data.preparation": "prepare_pretraining_data",
    "tfzoo.data.pair_batches": "PairBatches padded_pairs",
    "tfzoo.data.span_corruption": "SpanCorruption sentinel_ids",
    "tfzoo.data.denoising": "Denoising",
    "tfzoo.data.noised_text": "NoisedText",
    "tfzoo.data.pipelines": "without_waiting",
}
__getattr__, __dir__, __all__ = exports(__name__, _HOMES)
