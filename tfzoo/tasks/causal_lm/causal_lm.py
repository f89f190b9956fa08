"""Causal language modeling.

Shapes: N texts, B batch, S sequence, V vocabulary_size.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.data.corpus import build_corpus
from tfzoo.data.packing import PackedText, next_tokens
from tfzoo.data.whole_text import TextList
from tfzoo.errors import require_flags
from tfzoo.generation.rules import check_ids
from tfzoo.layers.keywords import known_keywords, named_parameters
from tfzoo.tasks.causal_lm.chat_files import stored_chat_template, write_chat_template
from tfzoo.tasks.causal_lm.chatting import Chatting
from tfzoo.tasks.causal_lm.generation_config import (
    as_field,
    stored_end_ids,
    write_end_ids,
)
from tfzoo.tasks.causal_lm.scoring import Scoring
from tfzoo.tasks.causal_lm.served_texts import causal_lm_signatures
from tfzoo.tasks.inputs import raw_texts, single_texts
from tfzoo.tasks.learned_tokens import LearnsTokens
from tfzoo.tasks.raw_datasets import refuse_targets
from tfzoo.tasks.task import Task
from tfzoo.text.chat_template import ChatTemplate
from tfzoo.training.perplexity import NextTokenMetrics


@keras.saving.register_keras_serializable("tfzoo")
class CausalLM(Chatting, Scoring, LearnsTokens, Task):
    """Causal language model: trains on raw text, scores and continues texts.

    Args:
        backbone: A decoder: `GPTDecoder`, `LlamaDecoder` and so on.
        tokenizer: A `ByteBPETokenizer` or `SentencePieceTokenizer` with an end token,
            which is put after every text. The first token of a text is predicted from
            the first token of the layout, or from the end token if there is none. Only
            ids that the tokenizer has are generated.
        max_sequence_length: Maximum number of tokens. Defaults to the backbone's.
        end_token_ids: The id, or a list of ids, at which a generated text ends.
            Defaults to the tokenizer's end token.
        chat_template: Source of the Jinja template that `chat` uses; None for none.
        document_borders: Whether, in training windows with several texts, a token
            attends only to its own text and positions restart with each text.

    Raw texts in `fit` and `evaluate` are documents, and there is no `y`. Lists are
    packed into windows of `max_sequence_length` without truncation; a `tf.data` batch
    keeps its rows, which are truncated to that length. The loss is the mean over all
    tokens, in nats. `fit` and `evaluate` keep all logits of a batch in memory, 4 B S V
    bytes (3.3 GB for a GPT-2 and 16 windows of 1024 tokens); `perplexity` does not.

    Returns:
        (B, S, V) float32 logits of the next token at each position.

    Source: Radford et al. 2018 (GPT), section 3.1; Radford et al. 2019 (GPT-2)
    """

    capability = "CausalLM"
    peft_task = "CAUSAL_LM"
    heads = ()
    learned_at = "token_ids"
    argument_types = {"max_sequence_length": int, "document_borders": bool}
    own_targets = "The tokens are their own targets"

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        max_sequence_length=None,
        end_token_ids=None,
        chat_template=None,
        document_borders=True,
        **kwargs,
    ):
        end_id = tokenizer.required_id("end")
        require_flags(document_borders=document_borders)
        super().__init__(
            backbone,
            tokenizer,
            backbone.output_head(backbone.output),
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        ids = end_id if end_token_ids is None else end_token_ids
        last = self.tokenizer.layout_ids.last
        if last not in (None, end_id):
            raise ValueError(
                "The layout must have the end token, or none, after a text. Received: "
                f"the {self.tokenizer.layout.last} token"
            )
        self.end_token_ids = np.atleast_1d(ids).tolist()
        if not self.end_token_ids:
            raise ValueError(
                "end_token_ids must contain at least one id; to generate without an "
                "end, use generate(eos_token_id=[]). Received: []"
            )
        check_ids("end_token_ids", self.end_token_ids, backbone.vocabulary_size)
        if chat_template is not None:
            ChatTemplate(chat_template)  # raises if it is none
        self.chat_template = chat_template
        self.document_borders = bool(document_borders)

    def task_arguments(self):
        return {
            **super().task_arguments(),
            "end_token_ids": [*self.end_token_ids],
            "chat_template": self.chat_template,
        }

    @classmethod
    def stored_arguments(cls, config, path):
        stored = super().stored_arguments(config, path)
        return stored | {
            "end_token_ids": stored_end_ids(config, path),
            "chat_template": stored_chat_template(path.parent),
        }

    def token_fields(self):
        return {
            "bos_token_id": self.tokenizer.begin_id,
            "eos_token_id": as_field(self.end_token_ids),
        }

    def save_more(self, directory):
        write_end_ids(directory, self.end_token_ids, self.tokenizer.begin_id)
        write_chat_template(directory, self.chat_template)

    def _config_fields(self):
        fields = super()._config_fields()
        # They are in the files of transformers, which users may edit.
        del fields["tfzoo"]["end_token_ids"], fields["tfzoo"]["chat_template"]
        return fields

    def default_metrics(self):
        return [NextTokenMetrics(one_pass=self.jit_compiled)]

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw documents, see `Task`; each epoch splits them differently.

        Without `shuffle`, every token is a target once, in the order of the documents.
        """
        self.targets_of_raw(x, y)
        if sample_weight is not None:
            raise ValueError(f"{self.own_targets}. Received: sample_weight")
        texts = single_texts(x)
        packed = PackedText(
            build_corpus(TextList(texts), self.tokenizer, progress=False),
            end_id=self.tokenizer.end_id,
            max_sequence_length=self.max_sequence_length,
            start_id=self.tokenizer.begin_id,
            document_borders=self.document_borders,
            seed=plan.seed,
        )
        if not plan.shuffle:
            return packed.validation_batches(plan.batch_size)
        steps = plan.epochs * -(-packed.num_examples // plan.batch_size)
        batches = packed.batches(plan.batch_size, start_step=plan.start_step)
        return batches.take(max(0, steps - plan.start_step))

    def map_strings(self, dataset, *, seed=0):
        """A batched dataset of raw text -> one of (inputs, next tokens, weights)."""
        del seed  # nothing is random here

        refuse_targets(dataset, self.own_targets, single=True)

        def encode(text):
            ids, lengths = self._rows(text)
            return next_tokens(ids, lengths, begin_id=self.tokenizer.begin_id)

        return dataset.map(encode, num_parallel_calls=2).prefetch(2)

    def map_to_predict(self, dataset):
        refuse_targets(dataset, self.own_targets, single=True)
        return dataset.map(self.encode_strings)

    def input_limits(self, length, prefix):
        # The mask numbers the documents of a row.
        return {**super().input_limits(length, prefix), "padding_mask": length + 2}

    def encode_strings(self, text):
        """Strings (B,) -> `token_ids` and `padding_mask` (B, S), in TensorFlow.

        The ids are the tokenizer's `begin_id`, then those of the text, truncated to
        `max_sequence_length`.
        """
        ids, lengths = self._rows(text)
        inputs, _, _ = next_tokens(ids, lengths, begin_id=self.tokenizer.begin_id)
        return inputs

    def _rows(self, text):
        """Strings (B,) -> ids (B, S + 1) from start to end token; lengths (B,)."""
        ids = self.tokenizer.graph(text)
        begin, end = (
            tf.fill([ids.nrows(), 1], tf.constant(index, tf.int32))
            for index in (self.tokenizer.begin_id, self.tokenizer.end_id)
        )
        rows = tf.concat([begin, ids, end], axis=1)[:, : self.max_sequence_length + 1]
        lengths = rows.row_lengths() - 1
        longest = tf.maximum(tf.reduce_max(lengths, axis=0), 1)
        width = -(-longest // self.length_multiple) * self.length_multiple
        shape = tf.stack([rows.nrows(), width + 1])
        return rows.to_tensor(self.tokenizer.end_id, shape=shape), lengths

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Logits of the next tokens, float32 (N, S, V); otherwise as in Keras.

        Args:
            x: Raw text or prepared ids, or batches of either. The first logits of a
                raw text are those of its first token.
            batch_size: Texts per batch. Defaults to 32; None with batches.
            **kwargs: As in Keras.

        Returns:
            For raw text, S is that of the longest text; rows of shorter ones end in
            meaningless logits. The array has 4 N S V bytes: 206 MB per text of 1024
            tokens with a GPT-2. `score` returns only the log-probabilities.
        """
        texts = raw_texts(x)
        if texts is not None:
            if not texts.texts:
                return np.zeros((0, 0, self.backbone.vocabulary_size), np.float32)
            x = self.encode_strings(tf.constant(single_texts(texts)))
        return self.predict_batches(x, batch_size, **kwargs)

    def served_options(self):
        names = named_parameters(causal_lm_signatures)[2:]
        own = ("max_sequence_length", "turn")
        return [*(n for n in names if n not in own), *named_parameters(self.turn)]

    def served(self, **options):
        """The `ServedModel` of an export.

        Args:
            **options: Those of `causal_lm_signatures` and, to serve a chat of one turn,
                those of `turn` in `Chatting`.
        """
        asked = {n: options.pop(n) for n in named_parameters(self.turn) if n in options}
        options["turn"] = self.turn(**asked)
        return causal_lm_signatures(
            self.in_float32().backbone,
            self.tokenizer,
            max_sequence_length=self.max_sequence_length,
            **{"end_ids": self.end_token_ids, **options},
        )
