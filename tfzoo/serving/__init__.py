"""Models that answer raw strings in TF Serving, C++ and plain TensorFlow."""

from tfzoo.serving.answers import question_answerer_signatures
from tfzoo.serving.export import export_saved_model, export_version
from tfzoo.serving.masked_words import masked_lm_signatures
from tfzoo.serving.signatures import ServedModel, classifier_signatures
from tfzoo.serving.tagging import token_classifier_signatures
from tfzoo.serving.text_embedding import text_embedder_signatures
from tfzoo.serving.text_generation import causal_lm_signatures

__all__ = [
    "ServedModel",
    "causal_lm_signatures",
    "classifier_signatures",
    "export_saved_model",
    "export_version",
    "masked_lm_signatures",
    "question_answerer_signatures",
    "token_classifier_signatures",
    "text_embedder_signatures",
]
