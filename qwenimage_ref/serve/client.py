"""A visitor without a browser: asks the page for a picture as its own script does.

For tests and measurements; gradio's endpoints are described under `/gradio_api/info` of a page.
"""

import http.client
import json
import os
import re
import urllib.parse
import urllib.request

SETTINGS = {  # fields of the tab Paint, in the order of the page
    "prompt": "a red circle left of a blue star on a white background", "size": "128x128",
    "seed": 0, "random": False, "rewrite": False, "negative": "", "cfg": 4, "steps": 20,
    "lightning": False,
}  # fmt: skip


class Client:
    """A page at an address such as http://127.0.0.1:7860/; seconds: longest wait for an answer."""

    def __init__(self, address: str, seconds: float = 600.0):
        self.address, self.seconds = address, seconds
        rows = json.loads(self.get("config"))["dependencies"]
        self.functions = {row["api_name"]: row["id"] for row in rows}

    def get(self, path: str, **headers: str) -> str:
        request = urllib.request.Request(f"{self.address}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=self.seconds) as answer:
            return answer.read().decode()

    def ask(self, **changes) -> list:
        """Ask for a picture with these fields of SETTINGS, wait for it -> what is then shown

        The result and the history as HTML, at 0 and 3; where the page refuses, the error alone.
        """
        return self.wait(self.join(**changes))

    def join(self, tab: str = "paint", more: tuple = (), **changes) -> str:
        """Ask for a picture -> the session in which it is painted

        more: the values of what another tab has besides.
        """
        session = os.urandom(8).hex()
        values = [*(SETTINGS | changes).values(), *more]
        wish = {"data": values, "fn_index": self.functions[tab], "session_hash": session}
        connection = self._connection()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/gradio_api/queue/join", json.dumps(wish), headers)
        connection.getresponse().read()
        connection.close()
        return session

    def wait(self, session: str) -> list:
        """Wait for the picture of a session -> as `ask`"""
        connection = self._connection()
        connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        for line in connection.getresponse():
            event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
            if event.get("msg") == "process_completed":
                connection.close()
                output = event["output"]
                return output["data"] if "data" in output else [output["error"]]
        raise ConnectionError("the page has ended the connection without an answer")

    def _connection(self) -> http.client.HTTPConnection:
        host = urllib.parse.urlsplit(self.address).netloc
        return http.client.HTTPConnection(host, timeout=self.seconds)


def name_in(result: str) -> str:
    """A result as HTML -> the name of its picture in the history"""
    return re.search(r'src="pictures/([^"]+)"', result)[1]
