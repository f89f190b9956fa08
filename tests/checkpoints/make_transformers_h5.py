"""Makes transformers_h5.zip: a small `tf_model.h5` of each class and its outputs.

    pip install "transformers==4.46.3" "tensorflow==2.15.*"
    python tests/checkpoints/make_transformers_h5.py

Needs a separate environment, because `transformers` 5 has no TensorFlow. For each class
there is a folder with config.json, tf_model.h5 and io.npz (ids, mask and outputs).
"""

import pathlib
import tempfile
import zipfile

import numpy as np
import transformers

BERT = dict(
    hidden_size=8,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=14,
)
SIZES = {
    "Bert": dict(BERT, type_vocab_size=2),
    "Roberta": dict(BERT, type_vocab_size=1),
    "DistilBert": dict(dim=8, n_heads=2, hidden_dim=12, max_position_embeddings=14),
    "GPT2": dict(n_embd=8, n_head=2, n_positions=14),
}
ENCODER = ["MaskedLM", "SequenceClassification", "TokenClassification"]
ENCODER += ["QuestionAnswering"]
HEADS = {name: [f"For{head}" for head in ENCODER] for name in SIZES}
HEADS["Bert"].append("ForPreTraining")
HEADS["GPT2"] = ["LMHeadModel"]
LAYERS = {"Bert": "num_hidden_layers", "Roberta": "num_hidden_layers"}
TWO_LAYERS = ("TFBertForPreTraining", "TFDistilBertForMaskedLM", "TFGPT2LMHeadModel")


def make(name, head, directory, rng):
    """Saves one model, with weights that are far from zero, and its outputs."""
    class_name = f"TF{name}{head}"
    config = getattr(transformers, f"{name}Config")(
        vocab_size=30,
        num_labels=2 if "Answering" in head else 3,
        **{LAYERS.get(name, "n_layers"): 1 + (class_name in TWO_LAYERS)},
        **SIZES[name],
    )
    if name == "GPT2":
        config.n_layer = 2
    model = getattr(transformers, class_name)(config)
    model.build_in_name_scope()
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape).round(2) * 0.3)
    model.save_pretrained(directory, safe_serialization=False)
    ids = rng.integers(5, 30, (2, 7)).astype(np.int32)
    mask = (np.arange(7) < [[7], [5]]).astype(np.int32)
    ids = np.where(mask, ids, 1 if name == "Roberta" else 0).astype(np.int32)
    outputs = model({"input_ids": ids, "attention_mask": mask})
    arrays = {k: v.numpy() for k, v in outputs.items() if hasattr(v, "numpy")}
    np.savez(directory / "io.npz", ids=ids, mask=mask, **arrays)


def main():
    rng = np.random.default_rng(0)
    target = pathlib.Path(__file__).with_name("transformers_h5.zip")
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive,
    ):
        for name, heads in HEADS.items():
            for head in heads:
                directory = pathlib.Path(folder, f"TF{name}{head}")
                make(name, head, directory, rng)
                for file in sorted(directory.iterdir()):
                    if file.name in ("config.json", "tf_model.h5", "io.npz"):
                        archive.write(file, f"{directory.name}/{file.name}")
    print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
