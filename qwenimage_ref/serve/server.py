"""The page over HTTP: a port of this machine, limits on requests, and nothing from elsewhere."""

import itertools
import os
import shutil
import socket
import tempfile
from pathlib import Path

from .history import History
from .jobs import Queue

MOST_BYTES = 32_000_000  # request; a photograph of 24 megapixels has about 12 million
MOST_PORT = 65_535
ARRIVAL = b"x-arrival"  # header that numbers the requests for pictures, in the order they came
LOOPBACK = ("127.0.0.1", "::1", "localhost")
# whatever a browser is told by the page, it loads and sends nothing to another host
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)
# read by gradio when it is imported
ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


class PortError(OSError):
    """An address at which no page can be served; one line says why."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that nobody else listens at. Raises PortError."""
    try:
        if not 0 <= port <= MOST_PORT:  # careful: the system would take the number modulo 65,536
            raise OverflowError(f"ports go from 0 to {MOST_PORT:,}")
        first = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        family, kind, protocol, _, address = first
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)  # at once: until then a second server could have the address, too
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PortError(
            f"--host {host} --port {port} cannot be served at ({reason}); choose another port"
        ) from None
    return opened


class Limits:
    """Around an ASGI application: large requests end in one line, and headers keep pages local."""

    def __init__(self, app, hosts: tuple[str, ...] | None):
        self.app, self.hosts = app, hosts  # hosts: the names by which the page may be called
        self.arrivals = itertools.count(1)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return await _refuse(send, 413, _too_large())
        # a page elsewhere may have a name that leads to this machine
        name = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]")
        if self.hosts and name not in self.hosts:
            return await _refuse(send, 421, "this page must be called by its own address")
        # careful: gradio reads requests in threads, and the first may be read last
        kept = [pair for pair in scope["headers"] if pair[0] != ARRIVAL]
        scope = scope | {"headers": [*kept, (ARRIVAL, str(next(self.arrivals)).encode())]}
        counted, started = _Counted(receive), False

        async def answer(message):
            nonlocal started
            if counted.full and not started:
                return  # the application's own words on a body that breaks off
            if message["type"] == "http.response.start":
                started = True
                policy = (b"content-security-policy", POLICY.encode())
                referrer = (b"referrer-policy", b"no-referrer")
                message["headers"] = [*message.get("headers", []), policy, referrer]
            await send(message)

        try:
            await self.app(scope, counted, answer)
        except Exception:
            if not counted.full:
                raise
        if counted.full and not started:
            await _refuse(send, 413, _too_large())


class _Counted:
    """`receive` of ASGI, for a body whose length was not stated"""

    def __init__(self, receive):
        self.receive, self.bytes = receive, 0

    @property
    def full(self) -> bool:
        return self.bytes > MOST_BYTES

    async def __call__(self):
        message = await self.receive()
        self.bytes += len(message.get("body", b""))
        if self.full:
            raise ValueError(_too_large())
        return message


def _too_large() -> str:
    return f"a request must be at most {MOST_BYTES // 10**6} MB; shrink the picture"


async def _refuse(send, status: int, line: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{line}\n".encode()})


def application(page, history: History, hosts: tuple[str, ...] | None):
    """The page of page.py and the pictures of the history as one ASGI application"""
    import gradio
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/pictures", StaticFiles(directory=history.folder), name="pictures")
    quiet = {"footer_links": [], "run_history": False, "pwa": False, "mcp_server": False}
    looks = {"theme": page.theme, "css": page.css, "head": page.head}
    limits = {"max_file_size": MOST_BYTES, "show_error": True, "ssr_mode": False}
    gradio.mount_gradio_app(app, page.blocks, "/", **quiet, **looks, **limits)
    return Limits(app, hosts)


def serve(queue: Queue, opened: socket.socket, history: History, offers: dict) -> None:
    """Serve the page until the process is interrupted; opened: of `listening`

    offers: {"lora": files, "control": networks} that visitors may choose from.
    """
    os.environ.update(ENVIRONMENT)
    temporary = Path(tempfile.mkdtemp(prefix="qwenimage-"))
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    try:
        import uvicorn

        from .page import Page

        page = Page(queue.abilities(), queue, history, offers)
        queue.start()
        host, port = opened.getsockname()[:2]
        hosts = LOOPBACK if host in LOOPBACK else None
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        config = uvicorn.Config(
            application(page, history, hosts), log_level="error", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[opened])
    finally:
        queue.close()
        shutil.rmtree(temporary, ignore_errors=True)
