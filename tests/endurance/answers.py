"""What failures say, in whichever form they come."""

from typing import Any

from app.commands.instance import Answer, Surprise

# What the service may say at any time, and a caller then tries again.
FOR_NOW = ("overloaded", "not_ready")
# What it says of an image whose decoder was killed.
SPOILED = "image_corrupt"


def code_of(answer: Answer) -> str:
    """The code of a failure, in our form or in OpenAI's; empty for what isn't one."""
    body = _body(answer)
    error = body.get("error")
    return str((error if isinstance(error, dict) else body).get("code") or "")


def refused_for_now(answer: Answer) -> bool:
    """Whether the service says that it can't answer at present.

    Raises:
        Surprise: it doesn't say why.
    """
    if answer.status != 503:
        return False
    # The routes that say how it is have no code, but a status in their body.
    if code_of(answer) not in FOR_NOW and "status" not in _body(answer):
        raise Surprise(f"503 without a reason: {answer.body}")
    return True


def spoiled(answer: Answer) -> int:
    """How many images the service gave up because their decoder failed."""
    return [code_of(answer), *(item["code"] for item in _body(answer).get("failed", ()))].count(SPOILED)


def _body(answer: Answer) -> dict[str, Any]:
    return answer.body if isinstance(answer.body, dict) else {}
