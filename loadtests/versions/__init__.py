"""Two versions of Bascule beside each other: what a change does to the hot path, on a machine whose speed drifts.

Their servers run at the same time and are measured in turns of a fraction of a second, so that each pair of figures was
taken under the same conditions; the ratios of many pairs say what no two runs of a benchmark can.
"""
