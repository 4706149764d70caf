"""Makes the tables, and hangs so many artworks: `python -m benchmarks.museum N`."""

import sys

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    from benchmarks.museum.models import Artwork

    call_command("migrate", run_syncdb=True, verbosity=0)
    numbers = range(int(sys.argv[1]))
    Artwork.objects.bulk_create(Artwork(title=f"Artwork {number}", image=f"{number}.jpg") for number in numbers)
