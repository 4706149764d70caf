"""What is asked: requests as bytes, each with an input that this service hasn't had before."""

import itertools
import json
import secrets
from collections.abc import Iterator

# Each is one token to CLIP. With those around a text, a query has 5 to 8.
VOCABULARY = (
    "red blue green yellow black white golden grey dark bright old new small big tall wild calm warm cold soft "
    "sea dog boat woman tree house horse night river mountain garden bridge street city castle tower ship storm "
    "cloud sky moon sun star snow rain wind fire water stone flower rose apple bread fish bird cat cow sheep lion "
    "tiger man child king queen angel portrait landscape study sketch painting print drawing statue mask window "
    "door table chair lamp book letter mirror music dance market church forest field valley island beach harbour "
    "summer winter spring autumn"
)
WORDS = VOCABULARY.split()
FEWEST_WORDS, MOST_WORDS = 3, 6
# A prime, so that none comes twice, and about 0.7 of all there are of the shortest, so that neighbours differ.
STRIDE = 618_041


def queries() -> Iterator[str]:
    """Short queries of words in every order; none comes twice."""
    for number in itertools.count():
        turn, choice = divmod(number, MOST_WORDS - FEWEST_WORDS + 1)
        words = FEWEST_WORDS + choice
        if turn >= len(WORDS) ** FEWEST_WORDS:
            raise RuntimeError("there are no more queries that differ")
        place = turn * STRIDE % len(WORDS) ** words
        chosen = []
        for _ in range(words):
            place, index = divmod(place, len(WORDS))
            chosen.append(WORDS[index])
        yield " ".join(chosen)


def urls(host: str) -> Iterator[str]:
    """Addresses of pictures at a host; none comes twice, asked for once or several times."""
    series = secrets.token_hex(4)
    return (f"{host}/{series}-{number}.jpg" for number in itertools.count())


def posts(path: str, field: str, values: Iterator[str], token: str) -> Iterator[bytes]:
    """Requests that send one value each."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    for value in values:
        body = json.dumps({field: value}).encode()
        yield b"%s%d\r\n\r\n%s" % (head, len(body), body)
