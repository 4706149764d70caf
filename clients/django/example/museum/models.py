"""The pages of the site: a collection, and its artworks, which are found by what their pictures show."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from wagtail.admin.panels import FieldPanel, MultiFieldPanel
from wagtail.images.models import AbstractRendition
from wagtail.images.shortcuts import get_rendition_or_not_found
from wagtail.models import Page, PageQuerySet
from wagtail.search import index

from tate_embeddings_django.backends import exact
from tate_embeddings_django.models import ImageVectorMixin
from tate_embeddings_django.service import Sought

ON_A_PAGE = 24
LIKE_THIS = 5
THUMBNAIL = "max-480x480"


class CollectionPage(Page):
    """All artworks, some at a time."""

    max_count = 1
    subpage_types: ClassVar = ["museum.ArtworkPage"]

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What the template shows: `artworks` is one page of them."""
        context: dict[str, Any] = super().get_context(request, *args, **kwargs)
        works = on_show().child_of(self).order_by("path").defer("image_vector")
        context["artworks"] = Paginator(works, ON_A_PAGE).get_page(request.GET.get("page"))
        with_thumbnails(context["artworks"].object_list)
        return context


class ArtworkPage(ImageVectorMixin, Page):
    """An artwork. The vector of its picture is what `manage.py update_embeddings` made of `image`."""

    artist = models.CharField(max_length=200, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    medium = models.CharField(max_length=200, blank=True)
    caption = models.TextField(blank=True)
    image = models.ForeignKey("wagtailimages.Image", null=True, on_delete=models.SET_NULL, related_name="+")

    thumbnail: AbstractRendition | None = None

    parent_page_types: ClassVar = ["museum.CollectionPage"]
    subpage_types: ClassVar[list[str]] = []
    content_panels: ClassVar = [
        *Page.content_panels,
        FieldPanel("image"),
        MultiFieldPanel([FieldPanel("artist"), FieldPanel("year"), FieldPanel("medium")], heading="Label"),
        FieldPanel("caption"),
    ]
    # Wagtail's own search, by words. It neither knows nor touches the vectors.
    search_fields: ClassVar = [
        *Page.search_fields,
        index.SearchField("artist"),
        index.SearchField("medium"),
        index.SearchField("caption"),
        index.FilterField("year"),
    ]

    def like_this(self) -> list["ArtworkPage"]:
        """The artworks whose pictures are nearest to this one's: a comparison of vectors, which takes no service."""
        if not self.image_vector:
            return []
        sought = Sought(tuple(self.image_vector), self.image_vector_space)
        nearest = exact.nearest(ArtworkPage, on_show().exclude(pk=self.pk), sought, LIKE_THIS)
        artworks = [scored.object for scored in nearest]
        with_thumbnails(artworks)
        return artworks


def on_show() -> PageQuerySet:
    """The artworks that everybody may see."""
    return ArtworkPage.objects.live().public()


def with_thumbnails(artworks: Sequence[ArtworkPage]) -> None:
    """Give each its `thumbnail`. They are looked up for all at once; what isn't there yet is made now."""
    models.prefetch_related_objects(artworks, "image__renditions")
    for artwork in artworks:
        if artwork.image:
            there = (each for each in artwork.image.renditions.all() if each.filter_spec == THUMBNAIL)
            artwork.thumbnail = next(there, None) or get_rendition_or_not_found(artwork.image, THUMBNAIL)
