"""The state of the stand-in for Elasticsearch: indexes, their aliases and their documents."""

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from tests.search.elasticsearch.fields import Body, Fields, Indexed, Refused, checked
from tests.search.elasticsearch.searches import everything, searched

MOST_ID_BYTES = 512
INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")
TIME = re.compile(r"(\d+)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
WHOLE = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
TOTAL_FIELDS = "index.mapping.total_fields."
SETTINGS: dict[str, type] = {
    "index.refresh_interval": str,
    "index.number_of_shards": int,
    "index.number_of_replicas": int,
    "index.blocks.write": bool,
    f"{TOTAL_FIELDS}limit": int,
    f"{TOTAL_FIELDS}ignore_dynamic_beyond_limit": bool,
}
STATIC = {"index.number_of_shards"}


def seconds(text: Any) -> float:
    """A time as Elasticsearch writes it; -1 is for ever."""
    if text == "-1":
        return float("inf")
    read = TIME.fullmatch(text) if isinstance(text, str) else None
    if read is None:
        raise Refused(400, "illegal_argument_exception", f"failed to parse [{text}] as a time")
    return int(read[1]) * SECONDS[read[2]]


@dataclass
class Index:
    """An index, whose documents are found as they were when it was refreshed last."""

    name: str
    settings: Body
    fields: Fields
    aliases: dict[str, Body]
    documents: dict[str, Indexed] = field(default_factory=dict)
    found: list[Indexed] = field(default_factory=list)
    refreshed_at: float = field(default_factory=time.monotonic)

    def refresh(self) -> None:
        self.found = list(self.documents.values())
        self.refreshed_at = time.monotonic()


class Cluster:
    """All there is. One request at a time."""

    def __init__(self, pace: float) -> None:
        """Begin empty.

        Args:
            pace: how many times as fast as on a server indexes are refreshed.
        """
        self.indexes: dict[str, Index] = {}
        self.refused_items: dict[str, tuple[int, str]] = {}
        self.shards = dict(WHOLE)
        self._points: dict[str, tuple[Index, list[Indexed]]] = {}
        self._pace = pace

    def create(self, name: str, body: Body) -> Body:
        checked(body, {"settings": dict, "mappings": dict, "aliases": dict}, "index", ("settings", "mappings"))
        if not INDEX_NAME.fullmatch(name) or self._behind(name):
            raise Refused(400, "invalid_index_name_exception", f"Invalid index name [{name}]")
        if name in self.indexes:
            raise Refused(400, "resource_already_exists_exception", f"index [{name}] already exists")
        settings = _settings(body["settings"])
        fields = Fields(
            body["mappings"],
            settings.get(f"{TOTAL_FIELDS}limit", 1000),
            settings.get(f"{TOTAL_FIELDS}ignore_dynamic_beyond_limit", False),
        )
        index = Index(name, settings, fields, {})
        for alias, how in body.get("aliases", {}).items():
            self._add(index, alias, how)
        self._check_aliases([*self.indexes.values(), index])
        self.indexes[name] = index
        return {"acknowledged": True, "shards_acknowledged": True, "index": name}

    def get(self, name: str, _: Body) -> Body:
        if "*" in name:
            pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
            meant = [each for each in self.indexes.values() if any(map(pattern.fullmatch, (each.name, *each.aliases)))]
        else:
            meant = self._meant(name)
        return {
            index.name: {"aliases": index.aliases, "mappings": index.fields.mappings, "settings": index.settings}
            for index in meant
        }

    def delete(self, name: str, _: Body) -> Body:
        if name not in self.indexes:
            if self._behind(name):
                raise Refused(400, "illegal_argument_exception", f"[{name}] matches an alias, not an index")
            raise _no_index(name)
        del self.indexes[name]
        return {"acknowledged": True}

    def put_settings(self, name: str, body: Body) -> Body:
        settings = _settings(body)
        if STATIC & settings.keys():
            raise Refused(400, "illegal_argument_exception", "Can't update non dynamic settings")
        for index in self._meant(name):
            index.settings |= settings
        return {"acknowledged": True}

    def block(self, name: str, _: Body) -> Body:
        self.put_settings(name, {"index.blocks.write": True})
        return {"acknowledged": True, "shards_acknowledged": not self.shards["failed"], "indices": []}

    def refresh(self, name: str, _: Body) -> Body:
        for index in self._meant(name):
            index.refresh()
        return {"_shards": WHOLE}

    def update_aliases(self, body: Body) -> Body:
        """All of the actions, or none."""
        changed = {name: dict(index.aliases) for name, index in self.indexes.items()}
        for action in checked(body, {"actions": list}, "aliases", ("actions",))["actions"]:
            ((kind, how),) = action.items()
            known: dict[str, type] = {"index": str, "alias": str}
            known |= {"must_exist": bool} if kind == "remove" else {"is_write_index": bool}
            if kind not in ("add", "remove"):
                raise Refused(400, "parsing_exception", f"unknown action [{kind}]")
            checked(how, known, kind, ("index", "alias"))
            name, alias = how["index"], how["alias"]
            if name not in changed:
                raise _no_index(name)
            if kind == "add":
                self._check_alias(alias)
                changed[name][alias] = {key: value for key, value in how.items() if key == "is_write_index"}
            elif changed[name].pop(alias, None) is None and how.get("must_exist"):
                raise Refused(404, "resource_not_found_exception", f"required alias [{alias}] does not exist")
        before = {name: index.aliases for name, index in self.indexes.items()}
        for name, index in self.indexes.items():
            index.aliases = changed[name]
        try:
            self._check_aliases([*self.indexes.values()])
        except Refused:
            for name, index in self.indexes.items():
                index.aliases = before[name]
            raise
        return {"acknowledged": True, "errors": False}

    def bulk(self, target: str, actions: list[tuple[str, Body, Body | None]], require_alias: bool) -> Body:
        items = [{kind: self._item(target, kind, meta, source, require_alias)} for kind, meta, source in actions]
        return {"took": 1, "errors": any("error" in each for item in items for each in item.values()), "items": items}

    def search(self, target: str | None, body: Body) -> Body:
        if "pit" not in body:
            if target is None:
                raise Refused(400, "stand_in", "everything there is can't be meant to be searched")
            index = self._one(target)
            documents = self._fresh(index)
        elif target is not None:
            raise Refused(400, "action_request_validation_exception", "[indices] cannot be used with point in time")
        else:
            index, documents = self._point(body["pit"])
        return {
            "took": 1,
            "timed_out": False,
            "_shards": self.shards,
            **searched(index.name, index.fields, documents, body),
        }

    def count(self, target: str, body: Body, terminate_after: int) -> Body:
        checked(body, {"query": dict}, "count")
        index = self._one(target)
        matches = index.fields.query(body["query"]) if "query" in body else everything
        count = sum(map(matches, self._fresh(index)))
        return {"count": min(count, terminate_after or count), "_shards": self.shards}

    def open_point(self, target: str, keep_alive: str) -> Body:
        seconds(keep_alive)
        index = self._one(target)
        point = secrets.token_hex(8)
        self._points[point] = (index, self._fresh(index))
        return {"id": point, "_shards": self.shards}

    def close_point(self, body: Body) -> Body:
        point = checked(body, {"id": str}, "point in time", ("id",))["id"]
        if self._points.pop(point, None) is None:
            raise Refused(404, "search_context_missing_exception", "No search context found")
        return {"succeeded": True, "num_freed": 1}

    @property
    def open_points(self) -> int:
        return len(self._points)

    def _point(self, pit: Any) -> tuple[Index, list[Indexed]]:
        checked(pit, {"id": str, "keep_alive": str}, "pit", ("id", "keep_alive"))
        seconds(pit["keep_alive"])
        if pit["id"] not in self._points or self._points[pit["id"]][0].name not in self.indexes:
            raise Refused(404, "search_context_missing_exception", "No search context found")
        return self._points[pit["id"]]

    def _item(self, target: str, kind: str, meta: Body, source: Body | None, require_alias: bool) -> Body:
        identity = checked(meta, {"_id": str}, kind, ("_id",))["_id"]
        described: Body = {"_index": target, "_id": identity}
        try:
            if not 0 < len(identity.encode()) <= MOST_ID_BYTES:
                raise Refused(400, "illegal_argument_exception", "id is too long, or empty")
            if identity in self.refused_items:
                raise Refused(*self.refused_items[identity], "as the test wants it")
            index = self._written(target, require_alias and kind != "delete")
            if index.settings.get("index.blocks.write"):
                raise Refused(
                    403, "cluster_block_exception", f"index [{index.name}] blocked by: [FORBIDDEN/8/index write]"
                )
            was_there = identity in index.documents
            if kind == "delete":
                index.documents.pop(identity, None)
                result, status = ("deleted", 200) if was_there else ("not_found", 404)
            else:
                assert source is not None
                document = index.fields.read(identity, source)
                index.documents.pop(identity, None)
                index.documents[identity] = document
                result, status = ("updated", 200) if was_there else ("created", 201)
        except Refused as error:
            return described | {"status": error.status, "error": {"type": error.kind, "reason": str(error)}}
        return described | {"_index": index.name, "result": result, "status": status, "_shards": WHOLE}

    def _written(self, target: str, require_alias: bool) -> Index:
        behind = self._behind(target)
        if not behind and (require_alias or target not in self.indexes):
            raise _no_index(target)  # here none is created by what is written to it
        if target in self.indexes:
            return self.indexes[target]
        writable = [each for each in behind if each.aliases[target].get("is_write_index")] or behind
        if len(writable) != 1:
            raise Refused(400, "illegal_argument_exception", f"no write index is defined for alias [{target}]")
        return writable[0]

    def _fresh(self, index: Index) -> list[Indexed]:
        """What can be found: a server would have refreshed it in the meantime."""
        interval = seconds(index.settings.get("index.refresh_interval", "-1"))
        if time.monotonic() - index.refreshed_at >= interval / self._pace:
            index.refresh()
        return index.found

    def _meant(self, name: str) -> list[Index]:
        meant = [self.indexes[name]] if name in self.indexes else self._behind(name)
        if not meant:
            raise _no_index(name)
        return meant

    def _one(self, name: str) -> Index:
        meant = self._meant(name)
        if len(meant) > 1:
            raise Refused(400, "stand_in", f"[{name}] leads to several indexes, which would be searched together")
        return meant[0]

    def _behind(self, alias: str) -> list[Index]:
        return [index for index in self.indexes.values() if alias in index.aliases]

    def _add(self, index: Index, alias: str, how: Any) -> None:
        self._check_alias(alias)
        index.aliases[alias] = checked(how, {"is_write_index": bool}, "alias")

    def _check_alias(self, alias: str) -> None:
        if not INDEX_NAME.fullmatch(alias) or alias in self.indexes:
            raise Refused(400, "invalid_alias_name_exception", f"Invalid alias name [{alias}]")

    def _check_aliases(self, indexes: list[Index]) -> None:
        writing = [alias for index in indexes for alias, how in index.aliases.items() if how.get("is_write_index")]
        if len(writing) > len(set(writing)):
            raise Refused(500, "illegal_state_exception", "alias has more than one write index")


def _settings(body: Body) -> Body:
    flat = {name if name.startswith("index.") else f"index.{name}": value for name, value in body.items()}
    checked(flat, SETTINGS, "settings")
    if "index.refresh_interval" in flat:
        seconds(flat["index.refresh_interval"])
    return flat


def _no_index(name: str) -> Refused:
    return Refused(404, "index_not_found_exception", f"no such index [{name}]")
