"""An object store on loopback: MLflow's HTTP interface of artifacts, kept in memory."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_ROOT = "/api/2.0/mlflow-artifacts/artifacts"


@contextmanager
def artifact_server():
    """Yields the address of the store and its content: name -> bytes."""
    content: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            content[self._name()] = self._body()
            self._answer(b"{}")

        def do_GET(self):
            if self._name():
                self._answer(content.get(self._name()))
            else:
                folder = parse_qs(urlsplit(self.path).query).get("path", [""])[0]
                self._answer(json.dumps({"files": list(_listed(content, folder))}).encode())

        def do_DELETE(self):
            content.pop(self._name(), None)
            self._answer(b"{}")

        def _name(self):
            return unquote(urlsplit(self.path).path.removeprefix(_ROOT).strip("/"))

        def _body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, body):
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{_ROOT}", content
    finally:
        server.shutdown()
        server.server_close()


def _listed(content, folder):
    inside = f"{folder}/" if folder else ""
    seen = set()
    for name, data in content.items():
        if not name.startswith(inside):
            continue
        first, _, below = name.removeprefix(inside).partition("/")
        if first not in seen:
            seen.add(first)
            yield {"path": first, "is_dir": bool(below), "file_size": 0 if below else len(data)}
