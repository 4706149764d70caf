"""`/metrics`: what Prometheus asks for."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from app.api.openapi import documented, operation_id
from app.auth import MetricsRoute
from app.telemetry import metrics as telemetry

router = APIRouter(tags=["status"], route_class=MetricsRoute, generate_unique_id_function=operation_id)

EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"title": "Metrics", "type": "string"}}},
    }
}


# No coroutine: FastAPI runs it in a thread, where reading the files of all workers holds nobody up.
@router.get("/metrics", response_class=Response, responses=EXPOSITION | documented(401, 500))
def metrics() -> Response:
    """Counters and times of all workers, for Prometheus."""
    return Response(telemetry.page(), media_type=CONTENT_TYPE_PLAIN_0_0_4)  # which every version reads
