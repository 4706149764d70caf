"""The search by meaning."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from museum.models import ArtworkPage, on_show, with_thumbnails
from tate_embeddings_django.search import search_embeddings

RESULTS = 24
LONGEST_QUERY = 200


def search(request: HttpRequest) -> HttpResponse:
    """The artworks whose pictures are nearest to the words of `?q=`. While the service is away nothing is found."""
    query = request.GET.get("q", "").strip()[:LONGEST_QUERY]
    found = search_embeddings(query, k=RESULTS, filters={"pk__in": on_show().values("pk")}, model=ArtworkPage)
    with_thumbnails([scored.object for scored in found])
    return render(request, "museum/search.html", {"query": query, "found": found})
