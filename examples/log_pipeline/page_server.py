"""The page of counts: a web server for its files, and a tub that it takes the counts from."""

from __future__ import annotations

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import marotte
from marotte.tubes import In, Out, iteratorFount, sink

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "wasm" / "dist"


class Counts(marotte.Referenceable):
    """What pages get a reference to."""

    def __init__(self, live: Out) -> None:
        self._live = live
        self._last: list[Any] = []
        live.newFount().flowTo(sink(self._note))

    def _note(self, counts: Any) -> None:
        self._last[:] = [counts]

    def remote_flow(self) -> Any:
        """A fount of counts, as they are and as they come. A page that is slow gets fewer of them,
        and always the newest."""
        both = In("concat")
        iteratorFount(list(self._last)).flowTo(both.newDrain())
        self._live.newFount("latest").flowTo(both.newDrain())
        return both.fount


class Handler(SimpleHTTPRequestHandler):
    """Files of the page, and of the npm package below /marotte/."""

    extensions_map: ClassVar = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }
    config: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        if self.path != "/config.json":
            return super().do_GET()
        body = json.dumps(self.config).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def translate_path(self, path: str) -> str:
        folder, path = (
            (PACKAGE, path[8:]) if path.startswith("/marotte/") else (HERE / "page", path)
        )
        self.directory = str(folder)
        return super().translate_path(path)

    def log_message(self, *_: Any) -> None:
        """The terminal has a progress bar."""


class Page:
    """Serves until the program ends. Make it under a running event loop."""

    def __init__(self) -> None:
        #: What flows to its drain is shown.
        self.live = Out("latest")
        self._tub = marotte.Tub()
        self._tub.listen("ws://127.0.0.1:0")
        Handler.config = {"counts": self._tub.registerReference(Counts(self.live))}
        self._web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._web.server_address[1]}/"

    def close(self) -> None:
        """Ends it."""
        self._web.shutdown()
        self._web.server_close()
        self._tub.close()
