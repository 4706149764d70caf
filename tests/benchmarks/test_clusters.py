"""What indexes are measured with: vectors, what is nearest among them, and how much of that was found."""

import numpy as np
import pytest
from benchmarks.clusters import BATCH, PARTS, Clusters, metadata, recall

CLUSTERS = Clusters(2 * BATCH + 100, 64)
EVERYTHING = np.concatenate([vectors for _, vectors in CLUSTERS.batches()])


def test_vectors_are_of_length_one_and_alike_each_time() -> None:
    again = np.concatenate([vectors for _, vectors in CLUSTERS.batches()])

    assert len(EVERYTHING) == CLUSTERS.count
    assert np.linalg.norm(EVERYTHING, axis=1) == pytest.approx(1, abs=1e-6)
    assert (again == EVERYTHING).all()


def test_every_vector_has_neighbours_and_is_itself_no_query() -> None:
    among_each_other = np.sort(EVERYTHING[:200] @ EVERYTHING.T, axis=1)
    to_queries = EVERYTHING @ CLUSTERS.queries(50).T

    assert among_each_other[:, -11].min() > 0.6  # the tenth besides itself
    assert np.median(among_each_other) < 0.1
    assert 0.6 < to_queries.max(axis=0).min() <= to_queries.max() < 0.99


def test_what_is_nearest_is_found_by_comparing_all_that_a_filter_lets_through() -> None:
    queries = CLUSTERS.queries(20)

    for part, nearest in zip(PARTS, CLUSTERS.nearest(queries, 3), strict=True):
        through = [place for place in range(CLUSTERS.count) if part.filter.items() <= metadata(place).items()]
        scores = EVERYTHING[through] @ queries.T
        expected = [{through[place] for place in column} for column in np.argsort(-scores, axis=0)[:3].T]
        assert [{*row} for row in nearest.tolist()] == expected


def test_recall_is_the_share_of_the_nearest_that_was_found() -> None:
    nearest = np.array([[1, 2, 3, 4], [5, 6, -1, -1], [-1, -1, -1, -1]])

    assert recall([[4, 3, 2, 1], [6, 5], []], nearest) == 1
    assert recall([[1, 2, 9, 8], [5, 7], [1]], nearest) == 0.5
