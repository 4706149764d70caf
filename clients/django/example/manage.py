"""Django's commands for the example: `python manage.py update_embeddings`, and all others."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
# This checkout's code, whatever is installed. A site of its own says `pip install django-tate-embeddings` instead.
CHECKED_OUT = [REPOSITORY, REPOSITORY / "clients" / "python", REPOSITORY / "clients" / "django"]


def prepare() -> None:
    """Let Django find its settings, and Python the packages of this repository."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "museum.settings")
    sys.path[1:1] = map(str, CHECKED_OUT)


if __name__ == "__main__":
    prepare()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
