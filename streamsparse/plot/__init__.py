"""Pictures of results: each function draws on the axes it is given, and returns them.

>>> import numpy as np
>>> import streamsparse as ss
>>> X = np.random.default_rng(0).standard_normal((60, 20_000))
>>> result = ss.sparsify(X, "sketch", epsilon=0.2, target="entries", progress=False)
>>> ss.plot.error_curve(result).get_xlabel()
'm, columns of Y'

Without ``ax`` they draw on matplotlib's current axes, as seaborn does. Nothing is shown, and no
setting of matplotlib is changed. Kinds are told apart by shape and words as well as by colour.
"""

from streamsparse.plot.curve import error_curve
from streamsparse.plot.eigenvalues import spectrum
from streamsparse.plot.kept import columns
from streamsparse.plot.maps import attention
from streamsparse.plot.rates import throughput
from streamsparse.plot.summary import certificate

__all__ = ["attention", "certificate", "columns", "error_curve", "spectrum", "throughput"]
