"""The README's clients of a server, against its protocols on the loopback address.

TF Serving itself does not run here: a small server answers as it does, with the
SavedModel's default signature.
"""

import concurrent.futures
import http.server
import json
import re
import threading

import pytest
import tensorflow as tf

from helpers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENTS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    if "localhost:85" in block
]
TEXTS = ["You won a prize!", "See you at 8?"]


@pytest.fixture
def serving_default(moved):
    return moved["serving_default"]


@pytest.fixture
def rest(serving_default):
    """Port of a server of TF Serving's REST API; its request is also checked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/models/mail:predict"
            length = int(self.headers["Content-Length"])
            instances = json.loads(self.rfile.read(length))["instances"]
            found = serving_default(text=tf.constant(instances))
            columns = {name: tensor.numpy().tolist() for name, tensor in found.items()}
            rows = [
                {name: text_of(values[row]) for name, values in columns.items()}
                for row in range(len(instances))
            ]
            body = json.dumps({"predictions": rows}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def grpc_port(serving_default):
    """Port of a server of TF Serving's gRPC API."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            assert request.model_spec.name == "mail"
            inputs = {
                name: tf.constant(tf.make_ndarray(proto))
                for name, proto in request.inputs.items()
            }
            response = predict_pb2.PredictResponse()
            for name, tensor in serving_default(**inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def run(client, port):
    """The names that a client's code defines."""
    names = {}
    code = re.sub(r"localhost:85\d\d", f"127.0.0.1:{port}", client)
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_the_readme_has_a_client_for_each_protocol():
    assert ["8501" in client for client in CLIENTS] == [True, False]
    assert all(len(client.splitlines()) <= 12 for client in CLIENTS)


def test_the_rest_client_gets_the_models_answers(rest, serving_default):
    answers = run(CLIENTS[0], rest)["answers"]
    labels = serving_default(text=tf.constant(TEXTS))["label"].numpy().tolist()
    assert [answer["label"].encode() for answer in answers] == labels
    assert set(answers[0]) == {"label", "score", "probabilities"}


def test_the_grpc_client_gets_the_models_answers(grpc_port, serving_default):
    labels = run(CLIENTS[1], grpc_port)["labels"]
    expected = serving_default(text=tf.constant(TEXTS))["label"].numpy()
    assert labels.tolist() == expected.tolist()
