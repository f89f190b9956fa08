"""Options of `transformers` that have no counterpart here, at what changes nothing.

Programs and `generation_config.json` files carry them at their defaults. There they are
taken; at any other value they would change what comes, and are refused by name.
"""

from tfzoo.errors import shown
from tfzoo.generation.rules import check_ids

_SCORES = "score and perplexity give log-probabilities"
_BEAMS = "num_beams searches with beams"
_DRAWS = "top_p, min_p and typical_p cut the distribution"
_WORDS = "bad_words_ids forbids tokens"
_DRAFTS = "assistant_model makes greedy decoding faster"
_CACHE = "the cache is tfzoo's own and always on"

# name: (the value that changes nothing, what there is instead); None changes nothing
NEUTRAL = {
    "use_cache": (True, _CACHE),
    "cache_implementation": (None, _CACHE),
    "cache_config": (None, _CACHE),
    "max_cache_len": (None, _CACHE),
    "prefill_chunk_size": (None, _CACHE),
    "low_memory": (False, "batch_size bounds memory"),
    "num_beam_groups": (1, _BEAMS),
    "diversity_penalty": (0, _BEAMS),
    "constraints": ([], _BEAMS),
    "force_words_ids": ([], _BEAMS),
    "epsilon_cutoff": (0, _DRAWS),
    "eta_cutoff": (0, _DRAWS),
    "top_h": (None, _DRAWS),
    "renormalize_logits": (False, _SCORES),
    "remove_invalid_values": (False, "logits that are not finite are an error"),
    "suppress_tokens": ([], _WORDS),
    "begin_suppress_tokens": ([], _WORDS),
    "sequence_bias": ({}, _WORDS),
    "forced_bos_token_id": (None, "write the token at the end of the prompt"),
    "forced_eos_token_id": (None, "eos_token_id ends texts"),
    "decoder_start_token_id": (None, "the prompt is what a decoder starts from"),
    "encoder_repetition_penalty": (1, "repetition_penalty counts the prompt too"),
    "encoder_no_repeat_ngram_size": (0, "no_repeat_ngram_size counts the prompt too"),
    "exponential_decay_length_penalty": (None, "max_new_tokens bounds the length"),
    "max_time": (None, "stream gives the text as it comes"),
    "streamer": (None, "stream gives the text as it comes"),
    "stopping_criteria": ([], "stop_strings and eos_token_id end texts"),
    "logits_processor": ([], _WORDS),
    "prefix_allowed_tokens_fn": (None, _WORDS),
    "token_healing": (False, "the prompt is read as it is tokenized"),
    "guidance_scale": (1, "the prompt alone guides"),
    "negative_prompt_ids": (None, "the prompt alone guides"),
    "watermarking_config": (None, "texts are not marked"),
    "dola_layers": (None, "the last layer alone gives logits"),
    "output_scores": (False, _SCORES),
    "output_logits": (False, _SCORES),
    "output_attentions": (False, _SCORES),
    "output_hidden_states": (False, _SCORES),
    "is_assistant": (False, _DRAFTS),
    "num_assistant_tokens_schedule": ("constant", _DRAFTS),
    "assistant_confidence_threshold": (0, _DRAFTS),
    "assistant_early_exit": (None, _DRAFTS),
    "assistant_ensemble_weight": (None, _DRAFTS),
    "assistant_lookbehind": (None, _DRAFTS),
    "target_lookbehind": (None, _DRAFTS),
    "prompt_lookup_num_tokens": (None, _DRAFTS),
    "max_matching_ngram_size": (None, _DRAFTS),
    "speculation_type": (None, _DRAFTS),
    "use_mtp": (False, _DRAFTS),
    "compile_config": (None, "jit_compile says whether XLA compiles"),
    "disable_compile": (False, "jit_compile says whether XLA compiles"),
    "synced_gpus": (False, "a call runs on one device"),
    "generation_config": (None, "options are given by name"),
    "attention_mask": (None, "prompts are texts"),
    "pad_token_id": (None, "padding is never read"),
    "bos_token_id": (None, "the tokenizer says what a prompt begins with"),
}


def without_neutral(options, *, vocabulary_size, begin_id):
    """The options that tfzoo has.

    Args:
        options: Dict of the options of a call, none of them None.
        vocabulary_size: `pad_token_id` may be any id below.
        begin_id: What `bos_token_id` may be.

    Raises:
        ValueError: one of `NEUTRAL` has a value that would change something.
    """
    kept = dict(options)
    for name in [name for name in options if name in NEUTRAL]:
        value = kept.pop(name)
        neutral, instead = NEUTRAL[name]
        if name == "pad_token_id":
            check_ids(name, [value], vocabulary_size)
        elif name == "bos_token_id" and value == begin_id:
            continue
        elif not is_neutral(name, value):
            raise ValueError(
                f"{name} must be {neutral!r} or left out: {instead}. "
                f"Received: {name}={shown(value)}"
            )
    return kept


def is_neutral(name, value):
    """Whether the option of `NEUTRAL` has, at this value, no effect."""
    neutral = NEUTRAL[name][0]
    if value is None:
        return True
    if isinstance(neutral, bool) or isinstance(value, bool):
        return value is neutral
    if isinstance(neutral, list | dict):
        return isinstance(value, list | tuple | dict) and not value
    kinds = (int, float) if isinstance(neutral, int) else type(neutral)
    return isinstance(value, kinds) and value == neutral
