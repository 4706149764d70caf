"""What passes for Milvus: the engine of Milvus Lite, in another role."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from milvus_lite import MilvusLite
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc


class StandIn(MilvusServicer):  # type: ignore[misc]  # it has no types
    """Milvus Lite's engine in the role of Milvus: by that version, with its indexes, and noting what it is asked."""

    def __init__(self, database: MilvusLite) -> None:
        super().__init__(database)
        self.database = database
        self.asked: list[tuple[Any, dict[str, Any]]] = []
        self.found_share = 1.0

    def GetVersion(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request, context)
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version="3.0.0")

    def CreateCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request, context)
        return super().CreateCollection(request, context)

    def CreateIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request, context)
        is_known = request.field_name == "vector"  # Milvus Lite has none of lists
        return super().CreateIndex(request, context) if is_known else common_pb2.Status()

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request, context)
        for parameter in request.search_params:
            if parameter.key == "topk":
                parameter.value = str(int(int(parameter.value) * self.found_share))
        return super().Search(request, context)

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request, context)
        return super().Query(request, context)

    def of(self, kind: str) -> list[Any]:
        """The requests of one kind."""
        return [request for request, _ in self.asked if type(request).__name__ == f"{kind}Request"]

    def _note(self, request: Any, context: Any) -> None:
        self.asked.append((type(request).FromString(request.SerializeToString()), dict(context.invocation_metadata())))


Serves = TypeVar("Serves", bound=MilvusServicer)


@contextmanager
def serving(file: Path, servicer: Callable[[MilvusLite], Serves], port: int = 0) -> Iterator[tuple[Serves, str]]:
    """A server of its own, and the URL of an index there."""
    database = MilvusLite(str(file))
    server = grpc.server(ThreadPoolExecutor(4))
    serves = servicer(database)
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(serves, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield serves, f"milvus+http://someone:a%20secret@127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
        database.close()
