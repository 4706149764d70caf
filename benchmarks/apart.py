"""Calls in a process of their own, so that the one that makes the load stays light."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any


def apart(module: str, function: str, *arguments: Any) -> Any:
    """What a function of a module here gives, computed in a process that imports the module and then ends."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(here, module, function, *arguments).result()


def here(module: str, function: str, *arguments: Any) -> Any:
    """What a function of a module here gives, computed in this process."""
    return getattr(import_module(f"benchmarks.{module}"), function)(*arguments)
