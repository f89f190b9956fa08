"""The configuration files for TF Serving, next to the versions of a model."""

import json

from tfzoo.files import written_beside

MODELS_CONFIG = "models.config"
BATCHING_PARAMETERS = "batching_parameters.txt"

_BATCHING = """\
# Requests that arrive within the timeout are batched; larger requests are split. The
# server does not pad inputs: it would repeat the first value of a row, also in the
# padding mask. Clients of the `token_ids` signature must send rows of equal length;
# this does not concern clients that send text.
max_batch_size { value: 32 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1000 }
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 32 }
pad_variable_length_inputs: false
"""


def write_configuration(base):
    """Writes `models.config` and `batching_parameters.txt` to `base`.

    Existing files are kept, since an operator may have edited them.

    Args:
        base: Directory of the versions; its name is the model's name. The server is
            expected to see it as /models/NAME.
    """
    name = base.resolve().name
    models = (
        "model_config_list {\n"
        "  config {\n"
        f"    name: {json.dumps(name)}\n"
        f"    base_path: {json.dumps('/models/' + name)}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
        "}\n"
    )
    contents = {MODELS_CONFIG: models, BATCHING_PARAMETERS: _BATCHING}
    for file, text in contents.items():
        if not (base / file).exists():
            with written_beside(base / file, replace=True) as beside:
                beside.write_text(text, encoding="utf-8")
