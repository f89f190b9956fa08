"""GPT-2: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `GPT2Model` and `GPT2LMHeadModel`, whose
`Conv1D` kernels are (inputs, outputs) as ours are.
"""

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.names import norm, plain, prefixed, side_by_side, tied

MODEL_TYPE = "gpt2"
PREFIX = "transformer."
# Name of a task, or of the backbone -> of `transformers`' class for it
ARCHITECTURES = {"backbone": "GPT2Model", "CausalLM": "GPT2LMHeadModel"}
# The causal masks that older files carry, and the heads of tasks.
UNUSED = (
    r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias$"
    r"|lm_head\.|score\.|classifier\.|qa_outputs\.|multiple_choice_head\."
)

# argument of GPTDecoder -> field of config.json
ARGUMENTS = {
    "vocabulary_size": fields.size("vocab_size"),
    "num_layers": fields.size("n_layer"),
    "num_heads": fields.size("n_head"),
    "hidden_dim": fields.size("n_embd"),
    "intermediate_dim": fields.size("n_inner"),
    "dropout": fields.share("resid_pdrop", 0.1),
    "attention_dropout": fields.share("attn_pdrop", 0.1),
    "embeddings_dropout": fields.share("embd_pdrop", 0.1),
    "max_sequence_length": fields.size("n_positions"),
    "activation": fields.activation("activation_function", "gelu_new"),
    "layer_norm_epsilon": fields.epsilon("layer_norm_epsilon", 1e-5),
}
# fields whose value changes the numbers, and the only value that GPTDecoder computes
FIXED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "pruned_heads": {},
}


def to_config(arguments, architecture, extra=None):
    """The content of `config.json`.

    Args:
        arguments: Constructor arguments of `GPTDecoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: special tokens, the `"tfzoo"` block.
    """
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **fields.write_arguments(arguments, ARGUMENTS),
        "initializer_range": 0.02,
        "bos_token_id": None,
        "eos_token_id": None,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `GPTDecoder` out of `config.json` at `path`."""
    # GPT-2's own file leaves the width of the feed-forward network out, or null.
    if config.get("n_inner") is None and type(config.get("n_embd")) is int:
        config = {**config, "n_inner": 4 * config["n_embd"]}
    return fields.read_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED)


def backbone_names(num_layers, present=()):
    """Variable path of `GPTDecoder` -> `Stored`.

    Args:
        num_layers: Number of layers.
        present: Names of the tensors in a file, or None for a task's file.
    """
    names = {
        **plain("token_embedding/embeddings", "wte.weight"),
        **plain("position_embedding/embeddings", "wpe.weight"),
        **norm("final_norm", "ln_f"),
    }
    for i in range(num_layers):
        ours, theirs = f"transformer_layer_{i}", f"h.{i}"
        attention = f"{ours}/self_attention"
        projections = [f"{attention}/{part}" for part in ("query", "key", "value")]
        names |= {
            **norm(f"{ours}/self_attention_norm", f"{theirs}.ln_1"),
            **side_by_side(projections, f"{theirs}.attn.c_attn"),
            **side_by_side([f"{attention}/output"], f"{theirs}.attn.c_proj"),
            **norm(f"{ours}/feed_forward_norm", f"{theirs}.ln_2"),
            **side_by_side([f"{ours}/feed_forward/intermediate"], f"{theirs}.mlp.c_fc"),
            **side_by_side([f"{ours}/feed_forward/output"], f"{theirs}.mlp.c_proj"),
        }
    return prefixed(names, PREFIX, present)


def copies(present):
    """Tensor of a file -> that whose copy it must be: the tied output layer."""
    return tied(present, "lm_head.weight", "wte.weight", PREFIX)


def head_names():
    """Variable path of every head of the tasks -> `Stored`; the only one is tied."""
    return {}
