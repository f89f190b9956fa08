"""The files that TF Serving is started with, parsed with its own definitions."""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from tfzoo.serving.configuration import write_configuration


def batching_parameters():
    """Message type of tensorflow_serving/servables/tensorflow/session_bundle_config.

    No wheel contains its Python module, so the fields are listed here.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="test",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    fields = {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    }
    for name, (number, kind) in fields.items():
        message.field.add(
            name=name,
            number=number,
            label=1,
            type=11,
            type_name=f".google.protobuf.{kind}",
        )
    message.field.add(name="allowed_batch_sizes", number=6, label=3, type=3)
    message.field.add(name="pad_variable_length_inputs", number=7, label=1, type=8)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName("test.BatchingParameters")
    return message_factory.GetMessageClass(found)()


def test_models_config_names_the_model_after_its_folder(tmp_path):
    from tensorflow_serving.config import model_server_config_pb2

    base = tmp_path / 'ma"il é'
    base.mkdir()
    write_configuration(base)
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((base / "models.config").read_text(encoding="utf-8"), config)
    (model,) = config.model_config_list.config
    assert model.name == 'ma"il é'
    assert model.base_path == '/models/ma"il é'
    assert model.model_platform == "tensorflow"


def test_the_batching_file_splits_large_requests_and_pads_nothing(tmp_path):
    write_configuration(tmp_path)
    parameters = batching_parameters()
    text_format.Parse((tmp_path / "batching_parameters.txt").read_text(), parameters)
    assert parameters.max_batch_size.value == 32
    assert parameters.max_execution_batch_size.value <= parameters.max_batch_size.value
    assert parameters.enable_large_batch_splitting.value
    assert not parameters.pad_variable_length_inputs
