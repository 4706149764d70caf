"""How urgent a request is: the `Priority` header of RFC 9218, or what its route is for."""

import re

from fastapi import Request

TEXT = 2  # somebody is waiting at a search box
PICTURE = 4
LIST = 6

# A dictionary of structured fields; of a key that is named twice the last one counts.
URGENCY = re.compile(r"(?:^|,)[ \t]*u=([0-7])[ \t]*(?=;|,|$)")


def urgency(request: Request, usual: int) -> int:
    """0 to 7, the smaller the sooner. A header that says nothing readable is no fault, says the RFC."""
    named = URGENCY.findall(",".join(request.headers.getlist("priority")))
    return int(named[-1]) if named else usual
