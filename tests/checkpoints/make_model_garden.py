"""Makes model_garden.zip: small checkpoints of the TF Model Garden and their outputs.

    pip install "tf-models-official==2.15.0"
    python tests/checkpoints/make_model_garden.py

Needs a separate environment (TensorFlow 2.15). Each folder contains bert_config.json,
the checkpoint, and io.npz with inputs and outputs. Both encoder classes are included,
whose checkpoints name layers by attribute or by number, with and without the
pretrainer.
"""

import json
import pathlib
import tempfile
import zipfile

import numpy as np
import tensorflow as tf
from official.modeling import tf_utils
from official.nlp.configs import encoders
from official.nlp.modeling import layers, models, networks

SIZES = dict(vocab_size=30, hidden_size=8, num_layers=2, num_attention_heads=2)
FIELDS = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 14,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}


def by_attribute():
    return networks.BertEncoderV2(
        inner_dim=12, max_sequence_length=14, type_vocab_size=2, **SIZES
    )


def by_configuration():
    sizes = encoders.BertEncoderConfig(
        intermediate_size=12, max_position_embeddings=14, type_vocab_size=2, **SIZES
    )
    return encoders.build_encoder(encoders.EncoderConfig(type="bert", bert=sizes))


def filled(model, inputs, rng):
    """The model's outputs, with weights far from zero."""
    model(inputs)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape).round(2) * 0.3)
    return {k: v.numpy() for k, v in model(inputs).items() if hasattr(v, "numpy")}


def main():
    rng = np.random.default_rng(0)
    inputs = {
        "input_word_ids": rng.integers(5, 30, (2, 7)).astype(np.int32),
        "input_mask": (np.arange(7) < [[7], [5]]).astype(np.int32),
        "input_type_ids": np.tile((np.arange(7) > 3).astype(np.int32), (2, 1)),
    }
    positions = {"masked_lm_positions": np.array([[1, 2], [3, 4]], np.int32)}
    target = pathlib.Path(__file__).with_name("model_garden.zip")
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive,
    ):

        def keep(name, checkpoint, arrays):
            directory = pathlib.Path(folder, name)
            checkpoint.write(str(directory / "bert_model.ckpt"))
            (directory / "bert_config.json").write_text(json.dumps(FIELDS))
            np.savez(directory / "io.npz", **arrays)
            for file in sorted(directory.iterdir()):
                archive.write(file, f"{name}/{file.name}")

        for name, make in (("a", by_attribute), ("c", by_configuration)):
            encoder = make()
            outputs = filled(encoder, inputs, rng)
            arrays = {k: outputs[k] for k in ("sequence_output", "pooled_output")}
            keep(
                f"{name}_encoder",
                tf.train.Checkpoint(encoder=encoder),
                {**inputs, **arrays},
            )
            keep(
                f"{name}_model",
                tf.train.Checkpoint(model=encoder),
                {**inputs, **arrays},
            )
            head = layers.ClassificationHead(8, 2, name="next_sentence")
            pretrainer = models.BertPretrainerV2(
                encoder_network=encoder,
                classification_heads=[head],
                mlm_activation=tf_utils.get_activation("gelu"),
            )
            outputs = filled(pretrainer, {**inputs, **positions}, rng)
            arrays = {k: outputs[k] for k in ("mlm_logits", "next_sentence")}
            checkpoint = tf.train.Checkpoint(
                model=pretrainer, **pretrainer.checkpoint_items
            )
            keep(f"{name}_pretrainer", checkpoint, {**inputs, **positions, **arrays})
    print(target, target.stat().st_size)


if __name__ == "__main__":
    main()
