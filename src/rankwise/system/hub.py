"""Whether the Hugging Face hub can be reached, found out in at most three seconds.

huggingface_hub retries for half a minute before it gives up on a name that does not resolve; a person without a network
deserves an answer at once. Files that are cached already are used either way.
"""

from __future__ import annotations

import os
import socket
import threading
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def is_reachable() -> bool:
    """False when an environment variable says so, or when no connection to the hub can be opened.

    Behind a proxy a direct connection proves nothing, so the answer is True and the client finds out.
    """
    if any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE):
        return False
    if any(os.environ.get(name) for name in PROXIES):
        return True
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    answered: list[bool] = []
    address = (endpoint.hostname or "huggingface.co", port)
    # in a thread, for neither looking a name up nor trying its addresses one by one has a limit of its own
    asking = threading.Thread(target=_connect, args=(address, answered), daemon=True)
    asking.start()
    asking.join(TIMEOUT_SECONDS)
    return bool(answered)


def _connect(address: tuple[str, int], answered: list[bool]) -> None:
    try:
        socket.create_connection(address, TIMEOUT_SECONDS).close()
    except OSError:
        return
    answered.append(True)
