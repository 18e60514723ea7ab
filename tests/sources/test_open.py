import subprocess
import sys

import numpy as np
import pytest

from streamsparse.errors import ParameterError, UnsupportedInputError
from streamsparse.sources.open import open_source


@pytest.mark.parametrize("feature_axis", [-1, 2, 1.0, True, "columns", None])
def test_open_source__bad_feature_axis_is_a_parameter_error(feature_axis):
    with pytest.raises(ParameterError, match="feature_axis"):
        open_source(np.ones((2, 2)), feature_axis=feature_axis, missing="error")


def test_open_source__bad_missing_is_a_parameter_error():
    with pytest.raises(ParameterError, match="'error', 'fill'"):
        open_source(np.ones((2, 2)), feature_axis=1, missing="ignore")


@pytest.mark.parametrize("obj", [[[1.0, 2.0]], 3, None, {"a": 1}, object()])
def test_open_source__other_objects_are_refused_with_what_is_accepted(obj):
    with pytest.raises(UnsupportedInputError, match=r"give a NumPy array.*\.npy"):
        open_source(obj, feature_axis=1, missing="error")


def test_open_source__arrays_in_memory_need_neither_zarr_nor_dask_array():
    code = (
        "import sys, streamsparse.sources.open\n"
        "assert not {'zarr', 'dask.array'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
