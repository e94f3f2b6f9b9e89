"""Whether the Hugging Face hub can be reached, answered within three seconds.

huggingface_hub retries for half a minute before it gives up on a name that does not resolve; a person without a network
deserves an answer at once. Files that are cached already are used either way.
"""

import os
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def is_reachable() -> bool:
    """Whether the hub may be asked: no environment variable forbids it, and a connection can be opened.

    Behind a proxy a direct connection proves nothing, so the answer is True and the client finds out.
    """
    if any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE):
        return False
    if any(os.environ.get(name) for name in PROXIES):
        return True
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    answers: list[bool] = []
    address = (endpoint.hostname or "huggingface.co", port)

    def connect() -> None:
        with suppress(OSError):
            socket.create_connection(address, TIMEOUT_SECONDS).close()
            answers.append(True)

    # in a thread, for neither looking a name up nor trying its addresses one by one has a limit of its own
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS)
    return bool(answers)
