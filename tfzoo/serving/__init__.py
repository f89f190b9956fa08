"""Export of models that take raw strings in TF Serving, C++ and plain TensorFlow."""

from tfzoo.serving.export import export_saved_model, export_version
from tfzoo.serving.signatures import ServedModel

__all__ = ["ServedModel", "export_saved_model", "export_version"]
