"""Runs SavedModels with TensorFlow's C library, without TensorFlow for Python.

Usage: python c_api.py TENSORFLOW_FOLDER

Each line of the standard input is a JSON list of a SavedModel's path, a ConfigProto in
hexadecimal digits and requests, [signature, {input: [dtype, shape, flat values]}] with
dtype "int32", "int64", "float32" or "string". The response is one line, a JSON object:
`methods` (signature -> method name), `answers` (for each request {output: [shape, flat
values]} or the error's text), `ops` (all operations of the library) and `modules` (all
modules imported in Python).
"""

import ctypes
import json
import math
import pathlib
import sys

STRING = 7
NUMBERS = {  # values of TF_DataType
    "float32": (1, ctypes.c_float),
    "int32": (3, ctypes.c_int32),
    "int64": (9, ctypes.c_int64),
}
POINTER = ctypes.c_void_p
RETURNS = {
    POINTER: [
        "TF_NewStatus",
        "TF_NewGraph",
        "TF_NewSessionOptions",
        "TF_NewBuffer",
        "TF_GetAllOpList",
        "TF_LoadSessionFromSavedModel",
        "TF_GraphOperationByName",
        "TF_AllocateTensor",
        "TF_TensorData",
        "TF_StringGetDataPointer",
    ],
    ctypes.c_char_p: ["TF_Message"],
    ctypes.c_size_t: ["TF_StringGetSize"],
    ctypes.c_int64: ["TF_Dim"],
}


class Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = [("operation", POINTER), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that the library owns."""

    _fields_ = [("data", POINTER), ("length", ctypes.c_size_t), ("free", POINTER)]


class SavedModel:
    """A SavedModel in a session of the C library."""

    def __init__(self, library, path, config):
        self.library = library
        self.status = POINTER(library.TF_NewStatus())
        options = POINTER(library.TF_NewSessionOptions())
        library.TF_SetConfig(options, config, ctypes.c_size_t(len(config)), self.status)
        self.check()
        self.graph = POINTER(library.TF_NewGraph())
        meta_graph = POINTER(library.TF_NewBuffer())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = POINTER(
            library.TF_LoadSessionFromSavedModel(
                options,
                None,
                str(path).encode(),
                tags,
                1,
                self.graph,
                meta_graph,
                self.status,
            )
        )
        self.check()
        self.signatures = dict(map(signature, fields(content(meta_graph))[5]))

    def check(self):
        """Raises the message of a failed call."""
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())

    def run(self, name, inputs):
        """The outputs of one signature: name -> [shape, flat values]."""
        known = self.signatures[name]
        if sorted(inputs) != sorted(known["inputs"]):
            raise RuntimeError(f"{name} takes {sorted(known['inputs'])}")
        feeds = [self.output(known["inputs"][key]) for key in inputs]
        values = [self.tensor(*value) for value in inputs.values()]
        fetches = [self.output(tensor) for tensor in known["outputs"].values()]
        results = (POINTER * len(fetches))()
        self.library.TF_SessionRun(
            self.session,
            None,
            (Output * len(feeds))(*feeds),
            (POINTER * len(values))(*values),
            len(feeds),
            (Output * len(fetches))(*fetches),
            results,
            len(fetches),
            None,
            0,
            None,
            self.status,
        )
        self.check()
        return {
            key: self.values(POINTER(result))
            for key, result in zip(known["outputs"], results, strict=True)
        }

    def output(self, tensor):
        operation, index = tensor.split(":")
        found = self.library.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index))

    def tensor(self, dtype, shape, values):
        count = math.prod(shape)
        dims = (ctypes.c_int64 * len(shape))(*shape)
        kind, number = NUMBERS.get(dtype, (STRING, None))
        size = 24 if number is None else ctypes.sizeof(number)
        tensor = POINTER(
            self.library.TF_AllocateTensor(
                kind, dims, len(shape), ctypes.c_size_t(count * size)
            )
        )
        start = self.library.TF_TensorData(tensor)
        if number is not None:
            ctypes.memmove(start, (number * count)(*values), count * size)
            return tensor
        for i, text in enumerate(values):
            # JSON has no bytes: surrogates represent those that are not UTF-8.
            content = text.encode("utf-8", "surrogateescape")
            place = POINTER(start + i * size)
            self.library.TF_StringInit(place)
            self.library.TF_StringCopy(place, content, ctypes.c_size_t(len(content)))
        return tensor

    def values(self, tensor):
        library = self.library
        shape = [library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor))]
        count, start = math.prod(shape), library.TF_TensorData(tensor)
        if not count:
            return [shape, []]
        for kind, number in NUMBERS.values():
            if library.TF_TensorType(tensor) == kind:
                return [shape, list((number * count).from_address(start))]
        texts = []
        for i in range(count):
            place = POINTER(start + 24 * i)
            data = library.TF_StringGetDataPointer(place)
            size = library.TF_StringGetSize(place)
            texts.append(ctypes.string_at(data, size).decode())
        return [shape, texts]


def content(buffer):
    """The bytes of a TF_Buffer."""
    buffer = ctypes.cast(buffer, ctypes.POINTER(Buffer)).contents
    return ctypes.string_at(buffer.data, buffer.length)


def fields(message):
    """Field number -> values of a protocol buffer, parsed without its definition."""
    found, position = {}, 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(message):
        key = varint()
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            value = varint()
        else:
            size = varint() if size is None else size
            value = message[position : position + size]
            position += size
        found.setdefault(key >> 3, []).append(value)
    return found


def signature(entry):
    """Name and description of one entry of MetaGraphDef.signature_def."""
    entry = fields(entry)
    definition = fields(entry[2][0])

    def tensors(number):
        pairs = (fields(pair) for pair in definition.get(number, ()))
        return {
            pair[1][0].decode(): fields(pair[2][0])[1][0].decode() for pair in pairs
        }

    description = {"inputs": tensors(1), "outputs": tensors(2)}
    description["method"] = definition.get(3, [b""])[0].decode()
    return entry[1][0].decode(), description


def load_library(folder):
    """TensorFlow's C library from an installed wheel."""
    folder = pathlib.Path(folder)
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        library = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    for kind, names in RETURNS.items():
        for name in names:
            getattr(library, name).restype = kind
    return library


def main(folder):
    library = load_library(folder)
    ops = fields(content(POINTER(library.TF_GetAllOpList())))[1]
    for line in sys.stdin:
        path, config, requests = json.loads(line)
        model = SavedModel(library, path, bytes.fromhex(config))
        result = {
            "methods": {
                name: known["method"] for name, known in model.signatures.items()
            },
            "answers": [answer(model, *request) for request in requests],
            "ops": [fields(op)[1][0].decode() for op in ops],
            "modules": sorted(sys.modules),
        }
        print(json.dumps(result), flush=True)


def answer(model, name, inputs):
    try:
        return model.run(name, inputs)
    except RuntimeError as e:
        return str(e)


if __name__ == "__main__":
    main(*sys.argv[1:])
