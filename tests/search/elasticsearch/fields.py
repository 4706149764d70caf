"""What the stand-in for Elasticsearch makes of mappings, documents and queries.

It knows those that the documentation of Elasticsearch 9 describes and that the store uses, and refuses all else: an
unknown parameter, a value of another type, a query that it doesn't know, and in a document what a server would pass
over in silence.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args

import numpy as np
from app.embeddings.engines import Vectors

Body = dict[str, Any]
Matches = Callable[["Indexed"], bool]

MOST_TERM_BYTES = 32_766
MOST_DIMENSIONS = 4096
MOST_IDS = 65_536

PARAMETERS: dict[str, dict[str, type]] = {
    "dense_vector": {"dims": int, "index": bool, "similarity": str, "index_options": dict},
    "keyword": {"index": bool, "doc_values": bool, "ignore_above": int},
    "flattened": {"index": bool, "doc_values": bool, "ignore_above": int, "depth_limit": int},
    "double": {"index": bool, "doc_values": bool, "coerce": bool},
    "object": {"enabled": bool, "dynamic": bool, "subobjects": bool, "properties": dict},
}
SIMILARITIES = {"cosine", "dot_product", "l2_norm", "max_inner_product"}
GRAPHS = {"hnsw", "int8_hnsw", "int4_hnsw", "bbq_hnsw"}


class Refused(Exception):
    """An error as Elasticsearch answers it."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind


@dataclass(frozen=True)
class Indexed:
    """What is known of a document: its source, its vector, and the terms of its fields by their paths."""

    id: str
    source: Body
    vector: Vectors
    terms: Mapping[str, frozenset[bytes] | frozenset[float]]


def checked(body: Any, known: Mapping[str, type | UnionType], where: str, needed: Iterable[str] = ()) -> Body:
    """An object of known keys whose values are of the right types; `true` is no number."""
    if not isinstance(body, dict):
        raise Refused(400, "parsing_exception", f"[{where}] is no object")
    for key, value in body.items():
        if key not in known:
            raise Refused(400, "parsing_exception", f"unknown key [{key}] in [{where}]")
        if type(value) not in (get_args(known[key]) or (known[key],)):
            raise Refused(400, "parsing_exception", f"[{key}] in [{where}] is of a wrong type")
    if missing := set(needed) - body.keys():
        raise Refused(400, "parsing_exception", f"[{where}] lacks {sorted(missing)}")
    return body


class Fields:
    """An index's mapping, which grows by fields that a dynamic template describes."""

    def __init__(self, mappings: Body, most_fields: int, ignore_beyond: bool) -> None:
        root = {"_meta": dict, "dynamic": bool, "dynamic_templates": list, "properties": dict}
        self.mappings = checked(mappings, root, "mappings")
        self._most_fields = most_fields
        self._ignore_beyond = ignore_beyond
        self._templates = [self._template(each) for each in mappings.get("dynamic_templates", ())]
        if mappings.get("dynamic") is not False:
            raise Refused(400, "stand_in", "a mapping is to be stated: dynamic is false")
        for name, field in mappings["properties"].items():
            _check_field(name, field)

    def read(self, identity: str, source: Body) -> Indexed:
        """A document, as it can be found."""
        terms: dict[str, Any] = {}
        vector = None
        for name, value in source.items():
            field = self.mappings["properties"].get(name)
            if field is None:
                raise _unreadable(f"[{name}] isn't mapped, and would be passed over")
            match field["type"]:
                case "dense_vector":
                    vector = _vector(name, value, field["dims"])
                case "keyword":
                    terms[name] = frozenset(_term(name, each) for each in _list(value))
                case "flattened":
                    terms |= _flattened(name, value)
                case "object" if field.get("enabled", True):
                    terms |= self._numbers(name, value, field)
        if vector is None:
            raise _unreadable("there is no vector")
        return Indexed(identity, source, vector, terms)

    def query(self, body: Any) -> Matches:
        """A query, as a test of documents."""
        if not isinstance(body, dict) or len(body) != 1:
            raise Refused(400, "parsing_exception", "a query is an object with one key")
        ((kind, inner),) = body.items()
        match kind:
            case "bool":
                checked(
                    inner, {"should": list, "minimum_should_match": int}, "bool", ("should", "minimum_should_match")
                )
                each, least = [self.query(query) for query in inner["should"]], inner["minimum_should_match"]
                return lambda document: sum(matches(document) for matches in each) >= least
            case "ids":
                wanted = set(checked(inner, {"values": list}, "ids", ("values",))["values"])
                if len(wanted) > MOST_IDS or not all(isinstance(identity, str) for identity in wanted):
                    raise Refused(400, "illegal_argument_exception", "[ids] are too many, or no strings")
                return lambda document: document.id in wanted
            case "exists":
                path = checked(inner, {"field": str}, "exists", ("field",))["field"]
                self._type(path)
                return lambda document: bool(document.terms.get(path))
            case "terms" | "range":
                if len(inner) != 1:
                    raise Refused(400, "parsing_exception", f"[{kind}] doesn't support several fields")
                ((path, wanted),) = inner.items()
                return self._terms(path, wanted) if kind == "terms" else self._range(path, wanted)
        raise Refused(400, "parsing_exception", f"unknown query [{kind}]")

    def _terms(self, path: str, wanted: Any) -> Matches:
        if not isinstance(wanted, list):
            raise Refused(400, "parsing_exception", f"[terms] of [{path}] is no list")
        values = {self._value(path, each) for each in wanted}
        return lambda document: not values.isdisjoint(document.terms.get(path, ()))

    def _range(self, path: str, wanted: Any) -> Matches:
        bounds = checked(wanted, {"gte": str | int | float, "lte": str | int | float}, "range")
        if self._type(path) == "flattened" and len(bounds) < 2:
            raise Refused(400, "query_shard_exception", "[range] on keyed [flattened] fields must have both bounds")
        least, most = (self._value(path, bounds[by]) if by in bounds else None for by in ("gte", "lte"))
        return lambda document: any(
            (least is None or least <= each) and (most is None or each <= most) for each in document.terms.get(path, ())
        )

    def _type(self, path: str) -> str | None:
        name, _, key = path.partition(".")
        field = self.mappings["properties"].get(name)
        if field is None or not key or "*" in path:
            raise Refused(400, "stand_in", f"[{path}] can't be meant to be searched")
        if field["type"] == "object":
            field = field.get("properties", {}).get(key)
        return None if field is None else str(field["type"])

    def _value(self, path: str, value: Any) -> Any:
        match self._type(path):
            case "flattened":
                return _text(value).encode()
            case "double":
                return _sortable(value)
            case None:
                return object()  # of a field that no document has
        raise Refused(400, "query_shard_exception", f"failed to create query: [{path}] is of another type")

    def _numbers(self, name: str, value: Any, field: Body) -> dict[str, Any]:
        if not isinstance(value, dict) or not field.get("dynamic"):
            raise _unreadable(f"[{name}] is no object, or of fields that aren't mapped")
        terms = {}
        properties = field.setdefault("properties", {})
        for key, values in value.items():
            if not key.strip() or "." in key:
                raise _unreadable(f"[{name}] has a field whose name is blank or would be taken for a path")
            if key not in properties:
                template = next((each for each in self._templates if each["path_match"] == f"{name}.*"), None)
                if template is None or not all(type(each) is float for each in _list(values)):
                    raise _unreadable(f"[{name}.{key}] is described by no template")
                if self._count() >= self._most_fields:
                    if not self._ignore_beyond:
                        raise Refused(400, "illegal_argument_exception", "Limit of total fields has been exceeded")
                    continue
                properties[key] = dict(template["mapping"])
            terms[f"{name}.{key}"] = frozenset(_sortable(each) for each in _list(values))
        return terms

    def _count(self) -> int:
        return sum(1 + len(field.get("properties", ())) for field in self.mappings["properties"].values())

    @staticmethod
    def _template(named: Any) -> Body:
        ((name, template),) = named.items()
        known = {"path_match": str, "match_mapping_type": str, "mapping": dict}
        checked(template, known, f"dynamic template {name}", known)
        if template["match_mapping_type"] != "double":
            raise Refused(400, "stand_in", "no template for anything but numbers with a fraction is known here")
        _check_field(name, template["mapping"])
        return dict(template)


def _check_field(name: str, field: Any) -> None:
    kind = field.get("type") if isinstance(field, dict) else None
    if kind not in PARAMETERS:
        raise Refused(400, "mapper_parsing_exception", f"No handler for type [{kind}] declared on field [{name}]")
    checked(field, {"type": str, **PARAMETERS[kind]}, f"mapping of {name}")
    if kind == "dense_vector":
        options = field["index_options"]
        checked(options, {"type": str, "m": int, "ef_construction": int}, "index_options", ("type",))
        if not 1 <= field["dims"] <= MOST_DIMENSIONS or field["similarity"] not in SIMILARITIES:
            raise Refused(400, "mapper_parsing_exception", "[dims] or [similarity] is none that there is")
        if options["type"] not in GRAPHS:
            raise Refused(400, "mapper_parsing_exception", f"Unknown vector index options type [{options['type']}]")


def _vector(name: str, value: Any, dimensions: int) -> Vectors:
    if not isinstance(value, list) or len(value) != dimensions:
        raise _unreadable(f"The [dense_vector] field [{name}] has a different number of dimensions than defined")
    vector = np.array(value, np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        raise _unreadable(f"The [cosine] similarity of [{name}] does not support vectors with zero magnitude")
    return vector


def _flattened(name: str, value: Any) -> dict[str, frozenset[bytes]]:
    if not isinstance(value, dict):
        raise _unreadable(f"[{name}] is no object")
    terms = {}
    for key, values in value.items():
        if "\0" in key:
            raise _unreadable("Keys in [flattened] fields cannot contain the reserved character \\0")
        terms[f"{name}.{key}"] = frozenset(_text(each).encode() for each in _list(values))
        if any(len(key.encode()) + 1 + len(term) > MOST_TERM_BYTES for term in terms[f"{name}.{key}"]):
            raise _unreadable(f"Flattened field [{name}] contains one immense field")
    return terms


def _term(name: str, value: Any) -> bytes:
    term = _text(value).encode()
    if len(term) > MOST_TERM_BYTES:
        raise _unreadable(f"Document contains at least one immense term in field [{name}]")
    return term


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise Refused(400, "stand_in", "only strings, true and false are known to be kept as terms here")
    return value


def _sortable(value: Any) -> tuple[float, float]:
    """A double as Lucene orders it, -0 below 0."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _unreadable("[double] supports only finite numbers")
    return (float(value), math.copysign(1, value))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unreadable(reason: str) -> Refused:
    return Refused(400, "document_parsing_exception", reason)
