"""The page where people search: HTML first, beside the API or alone before a remote one.

pages.py        the routes: what is asked for, what is answered
asking.py       what an address asks for, and the address that asks for it
shown.py        what there is to show of an item; `facets.py`, what can be filtered by
access.py       who may see it, `entrance.py` where they enter the password
pictures.py     pictures of items: `thumbnails.py` makes them small, `kept.py` keeps those, `originals.py` reads files
routing.py      what routes have in common; `rendering.py` and `problems.py`, what answers have
collection.py   what the page needs to know of a collection: `here.py` asks this process, `there.py` a service
service.py      the page alone
templates/, static/
"""
