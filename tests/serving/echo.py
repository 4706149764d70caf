"""An application that answers with what it understood of a request."""

import orjson
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    understood = {
        "method": scope["method"],
        "path": scope["path"],
        "headers": sorted({name.decode() for name, _ in scope["headers"]}),
        "body": body.decode(),
    }
    answer = orjson.dumps(understood)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})
