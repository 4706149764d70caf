"""What the commands say when the service, or its setting, doesn't let them go on."""

from tate_embeddings_client import (
    AuthenticationError,
    ConnectionFailed,
    EmbeddingsError,
    SpaceChanged,
    Timeout,
    UnexpectedAnswer,
)
from tate_embeddings_django import conf, service


def explained(error: Exception) -> str:
    """A failure, in a sentence for whoever runs the site."""
    now = conf.current()
    if isinstance(error, AuthenticationError):
        return f"The service doesn't know SERVICE_TOKEN ({error})."
    if isinstance(error, ConnectionFailed):
        return f"The service can't be reached at {now.service_url} ({error})."
    if isinstance(error, Timeout):
        return f"The service is too slow: no answer within EMBED_TIMEOUT_S, {now.embed_timeout_s:g} s ({error})."
    if isinstance(error, SpaceChanged):
        return (
            "The service has another model now than when this run began. "
            f"What was saved is of the former; run it again ({error})."
        )
    if isinstance(error, UnexpectedAnswer):
        return f"What answers at {now.service_url} isn't the service ({error})."
    if isinstance(error, service.NotReady):
        return f"The service isn't ready: {error}. Waited for EMBED_TIMEOUT_S, {now.embed_timeout_s:g} s."
    return f"The service fails: {error}" if isinstance(error, EmbeddingsError) else str(error)
