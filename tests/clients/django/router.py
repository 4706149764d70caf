"""What is to be in PostgreSQL is; all else is in SQLite."""

from typing import Any


class Router:
    """By the app that a model is of."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        return "postgresql" if model._meta.app_label == "pg" else "default"

    db_for_write = db_for_read

    def allow_migrate(self, database: str, app_label: str, **_: Any) -> bool:
        return (database == "postgresql") == (app_label == "pg")
