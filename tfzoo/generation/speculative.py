"""Speculative decoding: a draft model proposes tokens, the large one verifies them.

Shapes: B rows, K columns of both caches, G proposed tokens, V vocabulary_size.
"""

import dataclasses
import typing

import tensorflow as tf

from tfzoo.generation.cache import Cache, compacted, grown, written
from tfzoo.generation.choosing import next_ids
from tfzoo.generation.decoding import (
    Sampling,
    Search,
    read,
    read_prompts,
    with_next_ids,
)
from tfzoo.generation.history import History


class Speculation(typing.NamedTuple):
    """B sequences in progress, in two models.

    Attributes:
        history: A `History`, whose last token neither model has read yet.
        cache: A `Cache` of the large model.
        draft_cache: A `Cache` of the draft model, with the same columns.
        done: Boolean (B,).
        num_proposed: int32 (B,), number of tokens proposed.
        num_accepted: int32 (B,), number of those accepted by the large model.
    """

    history: History
    cache: Cache
    draft_cache: Cache
    done: tf.Tensor
    num_proposed: tf.Tensor
    num_accepted: tf.Tensor


@dataclasses.dataclass(frozen=True)
class SpeculativeDecoding(Search):
    """A draft model proposes G tokens, which the large model verifies in one step.

    They are accepted up to the first one that the large model would not have selected,
    followed by the token it does select. The result is the same as without a draft.

    Args:
        num_proposals: G.

    Source: Leviathan et al. 2022, section 2, https://arxiv.org/abs/2211.17192
    """

    num_proposals: int

    @property
    def columns_per_step(self):
        return self.num_proposals + 1

    @property
    def rows_of_step(self):
        return (self.num_proposals + 1, 1)

    def begin(self, decoders, prompts, lengths, limits, rules, memory=((), ())):
        """Both models read the prompts; the large one selects the first tokens.

        Arguments as in `Sampling`, except that `decoders` is the large model and the
        draft, with the same vocabulary, and `memory` has one memory for each.
        """
        decoder, draft = decoders
        state = Sampling().begin([decoder], prompts, lengths, limits, rules, memory[0])
        _, draft_cache = read_prompts(draft, prompts, lengths, memory[1])
        none = tf.zeros_like(lengths)
        return Speculation(
            state.history, state.cache, draft_cache, state.done, none, none
        )

    def num_kept(self, state):
        return state.cache.num_alive

    def grow(self, state, num_columns):
        """As in `Search`; also drops columns that no row attends to."""
        draft_cache = grown(compacted(state.draft_cache), num_columns)
        state = state._replace(cache=compacted(state.cache), draft_cache=draft_cache)
        return super().grow(state, num_columns)

    def advance(self, decoders, state, limits, rules, *, num_steps, jit_compile=False):
        """As in `Sampling`; `rules` must have no seeds."""
        decoder, draft = decoders
        num_read = self.num_proposals + 1

        def step(state):
            ids, positions, draft_cache = _proposed(
                draft, state, self.num_proposals, jit_compile
            )
            cache, lengths = state.cache, state.history.lengths
            before = tf.repeat(cache.seen[:, None], num_read, axis=1)
            among = tf.linalg.band_part(tf.ones([num_read, num_read]), -1, 0) > 0
            among = tf.repeat(among[None], tf.shape(ids)[0], axis=0)
            hidden, new = read(
                decoder,
                cache,
                ids,
                tf.minimum(positions, decoder.max_sequence_length - 1),
                tf.concat([before, among], axis=2)[:, None],
            )
            logits = decoder.logits(hidden)
            state, chain = _accepted(state, ids, logits, limits, rules)
            cache = written(
                cache,
                new,
                chain,
                after=state.history.lengths,
                jit_compile=jit_compile,
            )
            num_tokens = state.history.lengths - lengths
            alive = tf.cast(chain[:, 0], tf.int32)
            return state._replace(
                cache=cache,
                draft_cache=draft_cache._replace(seen=cache.seen),
                num_proposed=state.num_proposed + alive * self.num_proposals,
                num_accepted=state.num_accepted + tf.maximum(num_tokens - 1, 0),
            )

        return self.run(step, state, num_steps)


def _proposed(draft, state, num_proposals, jit_compile):
    """The last token and G proposals (B, G + 1), their positions, the draft's cache.

    The draft also reads the last proposal, in case all are accepted.
    """
    cache, lengths = state.draft_cache, state.history.lengths
    ids = [tf.gather(state.history.tokens, lengths - 1, batch_dims=1)]
    here = tf.ones_like(state.done)[:, None]
    for i in range(num_proposals + 1):
        position = tf.minimum(lengths - 1 + i, draft.max_sequence_length - 1)
        seen = tf.concat([cache.seen, here], axis=1)
        hidden, new = read(
            draft, cache, ids[-1][:, None], position[:, None], seen[:, None, None]
        )
        logits = draft.logits(hidden[:, 0])
        ids.append(tf.argmax(logits, axis=-1, output_type=tf.int32))
        cache = written(cache, new, here, after=ids[-1], jit_compile=jit_compile)
    positions = lengths[:, None] - 1 + tf.range(num_proposals + 1)
    return tf.stack(ids[:-1], axis=1), positions, cache


def _accepted(state, ids, logits, limits, rules):
    """The state with the accepted tokens, and which of `ids` were right (B, G + 1)."""
    chain, right = [], ~state.done
    num_read = ids.shape[1]
    for i in range(num_read):
        chain.append(right)
        chosen = next_ids(logits[:, i], state.history, rules)
        # with_next_ids skips rows that are done: here, also those that were wrong
        done = state.done
        state = state._replace(done=~right)
        state = with_next_ids(state, logits[:, i], chosen, limits, rules)
        ended = state.done & right
        state = state._replace(done=done | ended)
        if i + 1 < num_read:
            right = right & ~ended & (chosen == ids[:, i + 1])
    return state, tf.stack(chain, axis=1)
