"""Options of `transformers` that have no counterpart here, and their neutral values.

Programs and `generation_config.json` files often contain them at their defaults, which
are accepted; any other value would change the result, and is rejected by name.
"""

from tfzoo.errors import shown
from tfzoo.generation.rules import check_ids

_SCORES = "use score and perplexity for log-probabilities"
_BEAMS = "use num_beams for beam search"
_DRAWS = "use top_p, min_p or typical_p to truncate the distribution"
_WORDS = "use bad_words_ids to forbid tokens"
_DRAFTS = "use assistant_model to speed up greedy decoding"
_CACHE = "the cache is always used and cannot be configured"

# name: (neutral value, what to use instead); None is always neutral
NEUTRAL = {
    "use_cache": (True, _CACHE),
    "cache_implementation": (None, _CACHE),
    "cache_config": (None, _CACHE),
    "max_cache_len": (None, _CACHE),
    "prefill_chunk_size": (None, _CACHE),
    "low_memory": (False, "use batch_size to limit memory"),
    "num_beam_groups": (1, _BEAMS),
    "diversity_penalty": (0, _BEAMS),
    "constraints": ([], _BEAMS),
    "force_words_ids": ([], _BEAMS),
    "epsilon_cutoff": (0, _DRAWS),
    "eta_cutoff": (0, _DRAWS),
    "top_h": (None, _DRAWS),
    "renormalize_logits": (False, _SCORES),
    "remove_invalid_values": (False, "non-finite logits are an error"),
    "suppress_tokens": ([], _WORDS),
    "begin_suppress_tokens": ([], _WORDS),
    "sequence_bias": ({}, _WORDS),
    "forced_bos_token_id": (None, "put the token at the end of the prompt"),
    "forced_eos_token_id": (None, "use eos_token_id to end texts"),
    "decoder_start_token_id": (None, "a decoder starts from the prompt"),
    "encoder_repetition_penalty": (1, "repetition_penalty includes the prompt"),
    "encoder_no_repeat_ngram_size": (0, "no_repeat_ngram_size includes the prompt"),
    "exponential_decay_length_penalty": (
        None,
        "use max_new_tokens to limit the length",
    ),
    "max_time": (None, "use stream for text as it is generated"),
    "streamer": (None, "use stream for text as it is generated"),
    "stopping_criteria": ([], "use stop_strings or eos_token_id to end texts"),
    "logits_processor": ([], _WORDS),
    "prefix_allowed_tokens_fn": (None, _WORDS),
    "token_healing": (False, "the prompt's tokens are used as they are"),
    "guidance_scale": (1, "there is no classifier-free guidance"),
    "negative_prompt_ids": (None, "there is no classifier-free guidance"),
    "watermarking_config": (None, "there is no watermarking"),
    "dola_layers": (None, "only the last layer gives logits"),
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
    "compile_config": (None, "use jit_compile to compile with XLA"),
    "disable_compile": (False, "use jit_compile to compile with XLA"),
    "synced_gpus": (False, "a call runs on one device"),
    "generation_config": (None, "pass options by name"),
    "attention_mask": (None, "prompts are texts"),
    "pad_token_id": (None, "padding is never read"),
    "bos_token_id": (None, "the tokenizer sets the token before a prompt"),
}


def without_neutral(options, *, vocabulary_size, begin_id):
    """Removes the options in `NEUTRAL` after checking that they have no effect.

    Args:
        options: Dict of the options of a call, none of them None.
        vocabulary_size: `pad_token_id` may be any id less than this.
        begin_id: The only other value allowed for `bos_token_id`.

    Raises:
        ValueError: an option in `NEUTRAL` has a value that would have an effect.
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
    """Whether an option in `NEUTRAL` has no effect at this value."""
    neutral = NEUTRAL[name][0]
    if value is None:
        return True
    if isinstance(neutral, bool) or isinstance(value, bool):
        return value is neutral
    if isinstance(neutral, list | dict):
        return isinstance(value, list | tuple | dict) and not value
    kinds = (int, float) if isinstance(neutral, int) else type(neutral)
    return isinstance(value, kinds) and value == neutral
