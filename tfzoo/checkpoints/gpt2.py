"""GPT-2: our variable paths and arguments <-> the names of Hugging Face's format.

Source: the names are those of `transformers`' `GPT2Model` and `GPT2LMHeadModel`, whose
`Conv1D` kernels are (inputs, outputs) as ours are.
"""

from tfzoo.checkpoints.names import norm, plain, prefixed, side_by_side
from tfzoo.checkpoints.presets import backbone_arguments

MODEL_TYPE = "gpt2"
BACKBONE = "GPT2Model"
PREFIX = "transformer."
# The causal masks that older files carry, and the heads of other tasks.
UNUSED = (
    r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias$"
    r"|score\.|classifier\.|qa_outputs\.|multiple_choice_head\."
)

# argument of GPTDecoder -> field of config.json
ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "hidden_dim": "n_embd",
    "intermediate_dim": "n_inner",
    "dropout": "resid_pdrop",
    "max_sequence_length": "n_positions",
}
# fields whose value changes the numbers, and the only value that GPTDecoder computes
FIXED = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def to_config(sizes, architecture, extra=None):
    """The content of `config.json`.

    Args:
        sizes: Constructor arguments of `GPTDecoder`.
        architecture: Name of `transformers`' class for it.
        extra: Further fields: special tokens, the `"tfzoo"` block.
    """
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPE,
        **{field: sizes[argument] for argument, field in ARGUMENTS.items()},
        "embd_pdrop": sizes["dropout"],
        "attn_pdrop": sizes["dropout"],
        "initializer_range": 0.02,
        "bos_token_id": None,
        "eos_token_id": None,
        **FIXED,
        **(extra or {}),
    }


def from_config(config, path):
    """Constructor arguments of `GPTDecoder` out of `config.json` at `path`."""
    # GPT-2's own file leaves the width of the feed-forward network out, or null.
    config = {name: value for name, value in config.items() if value is not None}
    optional = ("n_inner", "resid_pdrop")
    sizes = backbone_arguments(config, path, MODEL_TYPE, ARGUMENTS, FIXED, optional)
    return {"intermediate_dim": 4 * sizes["hidden_dim"], **sizes}


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
    if "lm_head.weight" not in present:
        return {}
    tied = "wte.weight" if "wte.weight" in present else f"{PREFIX}wte.weight"
    return {"lm_head.weight": tied}


def head_names():
    """Variable path of every head of the tasks -> `Stored`; the only one is tied."""
    return {}
