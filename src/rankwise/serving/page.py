"""The page at `/`, for people: one file without a network, whose policy names its own script and style by their digests.

What it asks are routes of this server (`wire/every.py`, `words.py`), of which the one that takes seconds refuses what pages
of other sites send.
"""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from starlette.datastructures import Headers
from starlette.responses import Response

from rankwise.serving.refusals import Refused

OWN = ("same-origin", "none")  # what a browser says of a request of the page's, and of one that was typed


def page() -> Response:
    """The page with its headers: nothing runs in it but its own script, and no other page frames it."""
    text = files("rankwise.serving").joinpath("page.html").read_text("utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _digest_in(text, "script"),
        "style-src": _digest_in(text, "style"),
        "connect-src": "'self'",
        "img-src": "data:",  # an icon that is empty, so that no browser asks for another
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }
    return Response(text, media_type="text/html", headers=headers)


def check_site(headers: Headers) -> None:
    """Raises Refused for what a page of another site asks; programs say nothing of that."""
    if headers.get("sec-fetch-site", "none") not in OWN:
        raise Refused("this route is for the server's own page", "forbidden", status=403)


def _digest_in(page: str, tag: str) -> str:
    """What a policy calls the page's only script or style."""
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
