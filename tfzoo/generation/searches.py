"""Selection of the search by the options."""

from tfzoo.generation.beam_search import BeamSearch
from tfzoo.generation.contrastive import ContrastiveSearch
from tfzoo.generation.decoding import Sampling
from tfzoo.generation.speculative import SpeculativeDecoding

NUM_CANDIDATES, NUM_PROPOSALS = 4, 4  # defaults of top_k and num_assistant_tokens


def search_for(options, vocabulary_size, *, speculative=False):
    """The `Search` for `GenerationOptions`.

    Args:
        options: `GenerationOptions`.
        vocabulary_size: Maximum number of candidates.
        speculative: Whether there is a draft model.
    """
    if speculative:
        return SpeculativeDecoding(options.num_assistant_tokens or NUM_PROPOSALS)
    if options.penalty_alpha is not None:
        return ContrastiveSearch(min(options.top_k or NUM_CANDIDATES, vocabulary_size))
    if options.num_beams > 1:
        return BeamSearch(options.num_beams, options.early_stopping or False)
    return Sampling(options.num_return_sequences)
