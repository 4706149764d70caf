"""Vectors for the rows that need one: which they are, and what becomes of them.

Every batch is saved as soon as it is there, so a run that ends anywhere loses what was under way and no more. A row is
changed only if it is still as it was read, and its picture too: what others did meanwhile stands.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import router, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils import timezone

from tate_embeddings_client import EmbeddingsError, Failure, ImageEmbedding
from tate_embeddings_client.errors import RETRYABLE_CODES
from tate_embeddings_django import images
from tate_embeddings_django.flight import Flight, Result
from tate_embeddings_django.models import FIELDS, ImageVectorMixin, checksum
from tate_embeddings_django.paging import pages

# Of a picture that could not be read on this side. It is looked for again each time: disks come back.
UNREADABLE = "image_unreadable"
TEMPORARY = RETRYABLE_CODES | {UNREADABLE}
LONGEST_CODE = 64
# Pictures that are sent themselves, and not their URLs, are all in memory.
BATCH_BYTES = 32 * 1024 * 1024

Model = type[ImageVectorMixin]
Rows = QuerySet[Any]


class WrongDimensions(Exception):
    """The service's vectors don't fit the column that they are for."""


@dataclass
class Tally:
    """What became of the rows of a model."""

    seen: int = 0
    unchanged: int = 0
    given_up: int = 0
    without_picture: int = 0
    chosen: Counter[str] = field(default_factory=Counter)
    made: int = 0
    changed_meanwhile: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row that needs a vector, and the checksum of its picture."""

    row: ImageVectorMixin
    checksum: str


Picked = tuple[Chosen, str | bytes]


class Update:
    """One model's rows, brought up to date with a service of one space. `tally` says how far it is."""

    def __init__(self, model: Model, space: str, *, force: bool, failed: Callable[[Any, str, str], None]) -> None:
        """Begin with nothing done.

        Args:
            model: whose rows.
            space: of which their vectors should be.
            force: make all of them anew.
            failed: is told of rows that fail: the primary key, a code, and what that means.
        """
        self.tally = Tally()
        self._model = model
        self._space = space
        self._force = force
        self._failed = failed

    def look(self, limit: int | None, told: Callable[[], None]) -> None:
        """Only count what there is to do."""
        for _ in islice(self._chosen(dry_run=True), limit):
            told()

    def run(
        self, flight: Flight, *, limit: int | None, batch_size: int, concurrency: int, told: Callable[[], None]
    ) -> None:
        """Send the pictures that need it and save what comes back, calling `told` now and then.

        Raises:
            EmbeddingsError: the service can't do it. What it had done before is saved.
            WrongDimensions: the column can't hold its vectors.
        """
        under_way: dict[Future[list[Result]], list[Chosen]] = {}
        try:
            for batch in self._batches(islice(self._chosen(dry_run=False), limit), batch_size, told):
                if len(under_way) == concurrency:
                    self._land(under_way, told)
                under_way[flight.submit([image for _, image in batch])] = [chosen for chosen, _ in batch]
            while under_way:
                self._land(under_way, told)
        except EmbeddingsError:
            for future, sent in under_way.items():
                if future.done() and not future.exception():
                    self._save(sent, future.result())
            raise

    def _land(self, under_way: "dict[Future[list[Result]], list[Chosen]]", told: Callable[[], None]) -> None:
        """Save what has come back, and wait for something if nothing has."""
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            self._save(under_way.pop(future), future.result())
            told()

    def _chosen(self, *, dry_run: bool) -> Iterator[Chosen]:
        """The rows that need a vector. Those that have no picture any more lose theirs."""
        for page in pages(_rows(self._model)):
            gone = []
            for row in page:
                self.tally.seen += 1
                try:
                    now = checksum(row)
                except Exception as error:  # whatever the model's own method, or its storage, comes to
                    self._fail(self._base(row.pk), row.pk, UNREADABLE, type(error).__name__, dry_run=dry_run)
                    continue
                if now is None:
                    self.tally.without_picture += 1
                    gone += [row.pk] if row.image_vector_checksum or _has_vector(row) else []
                elif reason := self._reason(row, now):
                    self.tally.chosen[reason] += 1
                    yield Chosen(row, now)
                elif _has_vector(row) and row.image_vector_space == self._space:
                    self.tally.unchanged += 1
                else:
                    self.tally.given_up += 1
            if gone and not dry_run:
                self._base(*gone).update(
                    image_vector=None, image_vector_space="", image_vector_checksum="", image_vector_error=""
                )

    def _reason(self, row: ImageVectorMixin, now: str) -> str:
        if self._force:
            return "anew"
        same = row.image_vector_checksum == now
        if same and row.image_vector_error and row.image_vector_error not in TEMPORARY:
            return ""
        if not _has_vector(row):
            return "without a vector"
        if row.image_vector_space != self._space:
            return "of another model"
        return "" if same else "of another picture"

    def _batches(self, rows: Iterable[Chosen], batch_size: int, told: Callable[[], None]) -> Iterator[list[Picked]]:
        batch: list[Picked] = []
        for chosen in rows:
            told()
            try:
                image = _read(chosen.row)
            except Exception as error:  # likewise
                self._fail(_unchanged(chosen), chosen.row.pk, UNREADABLE, type(error).__name__)
                continue
            batch.append((chosen, image))
            if len(batch) == batch_size or sum(len(image) for _, image in batch) > BATCH_BYTES:
                yield batch
                batch = []
        if batch:
            yield batch

    def _save(self, batch: Sequence[Chosen], results: Sequence[Result]) -> None:
        now = {row.pk: _checksum(row) for row in _rows(self._model).filter(pk__in=[each.row.pk for each in batch])}
        made = []
        for chosen, result in zip(batch, results, strict=True):
            if now.get(chosen.row.pk) != chosen.checksum:
                self.tally.changed_meanwhile += 1
            elif isinstance(result, Failure):
                self._record(chosen, result)
            else:
                made.append((chosen, result))
        saved = self._store(made) if made else 0
        self.tally.made += saved
        self.tally.changed_meanwhile += len(made) - saved

    def _store(self, made: "Sequence[tuple[Chosen, ImageEmbedding]]") -> int:
        column = self._model._meta.get_field("image_vector")
        takes, has = getattr(column, "dimensions", None), made[0][1].dimensions
        if takes not in (None, has):
            raise WrongDimensions(f"The service's vectors have {has} numbers, and {column} takes {takes}.")
        # Row by row: `bulk_update` takes three times as long to put its one statement together.
        with transaction.atomic(using=router.db_for_write(self._model)):
            return sum(
                _unchanged(chosen).update(
                    image_vector=list(embedding.vector),
                    image_vector_space=embedding.space,
                    image_vector_checksum=chosen.checksum,
                    image_vector_error="",
                    image_vector_tried_at=timezone.now(),
                )
                for chosen, embedding in made
            )

    def _record(self, chosen: Chosen, failure: Failure) -> None:
        about: dict[str, Any] = {}
        if failure.code not in TEMPORARY:
            about["image_vector_checksum"] = chosen.checksum  # until that changes there is no use in trying
            if chosen.row.image_vector_checksum != chosen.checksum:  # the vector is of a picture that isn't there now
                about |= {"image_vector": None, "image_vector_space": ""}
        self._fail(_unchanged(chosen), chosen.row.pk, failure.code, failure.detail, **about)

    def _fail(self, row: Rows, key: Any, code: str, detail: str, *, dry_run: bool = False, **about: Any) -> None:
        self.tally.failed[code] += 1
        self._failed(key, code, detail)
        if not dry_run:
            row.update(image_vector_error=code[:LONGEST_CODE], image_vector_tried_at=timezone.now(), **about)

    def _base(self, *keys: Any) -> Rows:
        return self._model._base_manager.filter(pk__in=keys)


def _rows(model: Model) -> Rows:
    """A model's rows, with no more of them than is needed to know which need a vector."""
    rows = model._default_manager.annotate(
        image_vector_is_there=ExpressionWrapper(Q(image_vector__isnull=False), output_field=BooleanField())
    )
    path, columns = images.field_path(model), images.columns(model)
    if path[:-1]:
        rows = rows.select_related(path[0])
    usual = ("get_embedding_image", "get_embedding_source")
    if columns and all(getattr(model, name) is getattr(ImageVectorMixin, name) for name in usual):
        ours = [name for name in FIELDS if name != "image_vector"]
        return rows.only(path[0], *columns, *ours)
    return rows.defer("image_vector")


def _has_vector(row: Any) -> bool:
    return bool(row.image_vector_is_there)


def _unchanged(chosen: Chosen) -> Rows:
    """The row, unless somebody has given it another vector since it was read."""
    row = chosen.row
    return type(row)._base_manager.filter(
        pk=row.pk,
        image_vector_checksum=row.image_vector_checksum,
        image_vector_space=row.image_vector_space,
    )


def _checksum(row: ImageVectorMixin) -> str | None:
    try:
        return checksum(row)
    except Exception:  # then it isn't what it was
        return None


def _read(row: ImageVectorMixin) -> str | bytes:
    image = row.get_embedding_image()
    if image is None:
        raise FileNotFoundError
    return image.read_bytes() if isinstance(image, Path) else image
