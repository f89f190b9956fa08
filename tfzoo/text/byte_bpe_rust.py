from tokenizers import Tokenizer, models, pre_tokenizers, decoders
def bpe_model(tokenizer):
    return models.BPE({t:i for i,t in enumerate(tokenizer.vocabulary) if t is not None}, list(tokenizer.merges))
