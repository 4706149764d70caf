"""What Django loads: nothing but the checks."""

from django.apps import AppConfig
from django.core import checks


class EmbeddingsConfig(AppConfig):
    """The app `tate_embeddings_django`. It has no tables of its own."""

    name = "tate_embeddings_django"
    label = "tate_embeddings"
    verbose_name = "Embeddings"

    def ready(self) -> None:
        from tate_embeddings_django.checks import check_models, check_setting

        checks.register(check_setting)
        checks.register(check_models)
