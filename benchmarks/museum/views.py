"""The search page, as the README of the Django app has it."""

from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.urls import path

from tate_embeddings_django.search import search_embeddings

PAGE = Template(
    """<!doctype html>
<form><input type="search" name="q" value="{{ query }}"></form>
{% for each in found %}
  <figure><img src="{{ each.object.image.url }}" alt=""> <figcaption>{{ each.object.title }}</figcaption></figure>
{% empty %}
  {% if query %}<p>Nothing was found.</p>{% endif %}
{% endfor %}
"""
)


def search(request: HttpRequest) -> HttpResponse:
    """The artworks nearest to what was typed."""
    query = request.GET.get("q", "")
    return HttpResponse(PAGE.render(Context({"query": query, "found": search_embeddings(query, k=24)})))


urlpatterns = [path("", search)]
