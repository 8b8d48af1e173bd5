"""Classifiers behind an address: what goes out, what comes back, and what is refused."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from rather.hub import addresses
from rather.hub.classifiers import load_classifier
from rather.io.png import unpng
from refusing import refusal

SHAPE = (3, 4, 5)
X = (torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0)) * 255).round() / 255


def means(instances):
    """Logits as a server would compute them: of each image the mean of each channel."""
    images = [unpng(base64.b64decode(one["b64"])) if isinstance(one, dict) else torch.tensor(one) for one in instances]
    return [image.mean((1, 2)).tolist() for image in images]


ANSWERS = {
    "/good": lambda instances: json.dumps({"predictions": means(instances)}),
    "/bare": lambda instances: json.dumps(means(instances)),
    "/text": lambda _: "It works!",
    "/other": lambda _: '{"scores": [[1]]}',
    "/words": lambda _: '{"predictions": [["cat"]]}',
    "/ragged": lambda _: '{"predictions": [[1, 2], [1]]}',
    "/few": lambda _: '{"predictions": []}',
    "/empty": lambda _: "",
    "/deep": lambda _: "[" * 100_000,
    "/number": lambda _: "3",
    "/long": lambda _: " " * 3000,
    "/nan": lambda instances: json.dumps([[float("nan")] * 2] * len(instances)),
}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        instances = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        if self.path == "/slow":
            self.server.released.wait(5)
            return
        if self.path == "/moved":
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        else:
            self.send_response(200 if self.path in ANSWERS else 500)
        self.end_headers()
        self.wfile.write(ANSWERS.get(self.path, lambda _: "no such\nmodel")(instances).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["good", "bare", "good#png", "good#lists"])
def test_an_address_answers_as_a_classifier(url, path):
    classifier = load_classifier(f"{url}/{path}", shape=SHAPE)
    torch.testing.assert_close(classifier(X), X.mean((2, 3)))
    assert classifier.classes == ("0", "1", "2")


def test_numbers_that_are_no_picture_go_as_lists(url):
    made = addresses.address(f"{url}/good#lists", ()).net
    torch.testing.assert_close(made(2 * X - 1), (2 * X - 1).mean((2, 3)))
    refused = refusal(addresses.address(f"{url}/good", ()).net, 2 * X - 1)
    assert "#lists" in refused.do


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("text", "JSON"),
        ("other", "scores"),
        ("words", "numbers"),
        ("ragged", "numbers"),
        ("few", "shape"),
        ("empty", "JSON"),
        ("deep", "Recursion"),
        ("number", "numbers"),
        ("moved", "307"),
        ("nothing", "500: no such model"),
        ("long", "more than"),
        ("slow", "no answer"),
        ("good#jpeg", "#png"),
    ],
)
def test_an_answer_that_is_none_is_a_line(url, path, says, monkeypatch):
    monkeypatch.setattr(addresses, "_SECONDS", 0.3)
    monkeypatch.setattr(addresses, "_LONGEST", 2**10 if path == "long" else 2**20)
    error = refusal(load_classifier, f"{url}/{path}", shape=SHAPE)
    assert error.code == "MODEL-ADDRESS"
    assert says in str(error)
    assert url in error.where


def test_nan_is_called_so(url):
    assert refusal(load_classifier, f"{url}/nan", shape=SHAPE).code == "MODEL-NONFINITE"


def test_nothing_is_sent_to_another_machine_without_consent():
    for host in ("example.org", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"):
        error = refusal(load_classifier, f"http://{host}:8000/predict", shape=SHAPE)
        assert error.code == "MODEL-ADDRESS"
        assert error.do.endswith(f"--trust http://{host}:8000")
    made = addresses.address("https://example.org/predict", ["https://example.org"])
    assert made.name == "example.org"
    for other in ("http://example.org", "https://example.org:8000", "https://example.com"):
        assert refusal(addresses.address, "https://example.org/predict", [other]).code == "MODEL-ADDRESS"
    for broken in ("http://[", "http://127.0.0.1:x/"):
        assert refusal(addresses.address, broken, ()).code == "MODEL-ADDRESS"


def test_an_address_where_nothing_runs_says_so():
    assert "Start it" in refusal(load_classifier, "http://127.0.0.1:9/predict", shape=SHAPE).do
