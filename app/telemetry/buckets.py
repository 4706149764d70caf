"""Where histograms draw their lines: closest where it matters most whether something takes a little longer."""

# From what is remembered to the longest that REQUEST_TIMEOUT_S usually lets through. Queries should take some 20 ms and
# pictures 100 to 200, so bounds are closest there.
REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# From a host next door to twice FETCH_TIMEOUT_S, which operators raise.
FETCH_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
# From an icon to DECODE_TIMEOUT_S; a photograph takes 30 ms.
DECODE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Texts are refused where they would wait for more than a second; pictures may wait for as long as a request takes.
QUEUE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60)
# From a GPU's batch to one that a hung engine may be taken for.
INFER_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 2.5, 5, 10)
# From a few vectors in memory to a database that is given up; files of 100,000 vectors should take 3 ms.
SEARCH_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# Batches grow by doubling: most on a CPU are of up to 32, on a GPU of more.
BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
