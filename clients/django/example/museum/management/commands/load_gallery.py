"""`manage.py load_gallery`: paintings on the walls of an empty museum."""

import argparse
from typing import Any

from app.demo.artworks import Artwork
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand
from django.db import transaction
from wagtail.images.models import Image
from wagtail.models import Page, Site

from museum.models import THUMBNAIL, ArtworkPage, CollectionPage
from museum.paintings import paintings

TITLE = "The painted collection"


class Command(BaseCommand):
    """Paints what is missing, and leaves what is there as it is."""

    help = "Paint artworks and hang them: images of Wagtail's, and a page for each. What is there already stays."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """One: how many."""
        parser.add_argument("--artworks", type=int, default=64, metavar="N", help="how many to have (64)")

    def handle(self, *_: Any, artworks: int, **__: Any) -> None:
        """Paint and hang."""
        walls = _collection()
        there = set(ArtworkPage.objects.child_of(walls).values_list("slug", flat=True))
        hung = 0
        for work, picture in paintings(artworks, there):
            with transaction.atomic():
                _hang(walls, work, picture)
            hung += 1
            if self.stdout.isatty():
                self.stdout.write(f"\rpainted {hung}", ending="")
                self.stdout.flush()
        if self.stdout.isatty() and hung:
            self.stdout.write("")
        self.stdout.write(f"{hung} artworks painted, {len(there)} were there.")


def _collection() -> CollectionPage:
    """The page that artworks hang on. It is made the site's first, in place of Wagtail's greeting."""
    there: CollectionPage | None = CollectionPage.objects.first()
    if there is not None:
        return there
    with transaction.atomic():
        page: CollectionPage = Page.get_first_root_node().add_child(
            instance=CollectionPage(title=TITLE, slug="collection")
        )
        Site.objects.update_or_create(
            is_default_site=True, defaults={"hostname": "localhost", "site_name": TITLE, "root_page": page}
        )
        for greeting in Page.objects.filter(depth=2, slug="home", content_type__model="page"):
            greeting.delete()
    return page


def _hang(walls: CollectionPage, work: Artwork, picture: bytes) -> None:
    file = ContentFile(picture, name=f"{work.id}.jpg")
    image = Image.objects.create(title=work.title, description=work.caption[:255], file=file)
    image.get_rendition(THUMBNAIL)  # which would cost the first visitor time
    page = ArtworkPage(
        slug=work.id,
        title=work.title,
        artist=work.artist,
        year=work.year,
        medium=work.medium,
        caption=work.caption,
        image=image,
    )
    walls.add_child(instance=page)
