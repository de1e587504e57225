"""Weights from a hub that stands on this machine: fetched with progress, stopped, refused, and not reached."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save

from attnlab.adapters import NetworkUnavailable, foreign_network, hub_network
from attnlab.adapters.hub import fetch_url

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
SMALL = {"image_size": 16, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}


class Hub:
    """Files by their path, served on this machine as the Hugging Face hub does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path.split("?")[0])
                self.send_response(404 if content is None else 200)
                if content is None:
                    self.send_header("X-Error-Code", "RepoNotFound")
                content = content or b""
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            do_HEAD = do_GET

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    served = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_a_model_of_the_hub_comes_with_its_bytes_told_and_a_name_by_which_it_is_built_again(hub: Hub, tmp_path) -> None:
    torch.manual_seed(0)
    made = transformers.ViTForImageClassification(transformers.ViTConfig(**SMALL)).eval()
    made.save_pretrained(tmp_path / "made")
    for name in ("config.json", "model.safetensors"):
        hub.files[f"/somebody/net/resolve/main/{name}"] = (tmp_path / "made" / name).read_bytes()
    told: list[tuple[int, int]] = []
    found = hub_network("transformers/somebody/net", None, lambda done, total: told.append((done, total)))
    size = len(hub.files["/somebody/net/resolve/main/model.safetensors"])
    assert told[-1] == (size, size)
    x = torch.randn(2, 3, 16, 16)
    again = foreign_network(found.name, 3, found.options).eval()
    again.load_state_dict(found.model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(found.model(x).logits, made(x).logits)
        torch.testing.assert_close(again(x).logits, made(x).logits)


def test_a_download_that_is_stopped_leaves_nothing_that_looks_whole(hub: Hub, tmp_path) -> None:
    hub.files["/net-00000000.pth"] = hub.files["/net.pth"] = save({"weight": torch.zeros(2**19)})

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert 0 < done <= total == len(hub.files["/net.pth"])
        raise Stop

    with pytest.raises(Stop):
        fetch_url(f"{hub.url}/net.pth", stop)
    assert not list((tmp_path / "torch").rglob("*.pth"))
    with pytest.raises(ValueError, match=r"what 127.0.0.1:\d+ sent is not net-00000000.pth"):
        fetch_url(f"{hub.url}/net-00000000.pth", lambda done, total: None)
    assert fetch_url(f"{hub.url}/net.pth", lambda done, total: None).read_bytes() == hub.files["/net.pth"]
    hub.files["/somebody/net/resolve/main/config.json"] = b"{}"
    with pytest.raises(Stop):
        hub_network("transformers/somebody/net", None, lambda done, total: (_ for _ in ()).throw(Stop))


def test_without_a_network_one_sentence_says_so(hub: Hub, monkeypatch) -> None:
    hub.server.shutdown()
    hub.server.server_close()
    for name in ("transformers/somebody/net", "timm/test_vit"):
        with pytest.raises(
            NetworkUnavailable, match=r"^127\.0\.0\.1:\d+ cannot be reached from this machine, and the weights of "
        ):
            hub_network(name)
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **options: (_ for _ in ()).throw(OSError("no route")))
    with pytest.raises(
        NetworkUnavailable, match=r"^download\.pytorch\.org cannot be reached .* Open a file of weights instead"
    ):
        hub_network("torchvision/resnet18")


def test_what_the_hub_does_not_have_is_said_in_the_words_of_the_library(hub: Hub) -> None:
    with pytest.raises(NetworkUnavailable, match="the weights of transformers/somebody/net could not be had"):
        hub_network("transformers/somebody/net")
    with pytest.raises(NetworkUnavailable, match="is no name of a network of timm"):
        hub_network("timm/hf-hub:somebody/net")
