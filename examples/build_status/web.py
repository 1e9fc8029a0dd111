"""The web server of the page: its files, the npm package, and where the build-status server is."""

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

HERE = Path(__file__).resolve().parent
PAGE = HERE / "page"
# What a browser asks for as /marotte/…
PACKAGE = HERE.parent.parent / "wasm" / "dist"


class Handler(SimpleHTTPRequestHandler):
    # Said here, as a system's own table may know neither modules nor WebAssembly.
    extensions_map: ClassVar = {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".map": "application/json",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }

    def do_GET(self):
        if self.path.partition("?")[0] != "/config.json":
            return super().do_GET()
        body = json.dumps(self.server.config).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path):
        if path.startswith("/marotte/"):
            self.directory, path = str(PACKAGE), path[len("/marotte") :]
        else:
            self.directory = str(PAGE)
        return super().translate_path(path)

    def list_directory(self, path):
        self.send_error(404)

    def end_headers(self):
        # Always asked for anew: a page of yesterday would meet a package of today.
        self.send_header("Cache-Control", "no-cache")
        # What a report says is shown as text; should that ever fail, it still cannot run.
        self.send_header(
            "Content-Security-Policy",
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
            "connect-src 'self' ws: wss:; img-src data:; object-src 'none'; base-uri 'none'",
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_arguments):
        pass

    def log_error(self, format, *arguments):
        print(f"web: {format % arguments}: {getattr(self, 'path', '')}", flush=True)


class PageServer:
    """Serves the page from a thread of its own until it is closed."""

    def __init__(self, host, port, config):
        self._http = ThreadingHTTPServer((host, port), Handler)
        self._http.daemon_threads = True
        self._http.config = config
        self.url = f"http://{host}:{self._http.server_port}/"
        threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()
