"""Samples on a device and batches of them, with a CuPy whose device is the processor."""

import numpy as np
import pytest

from sut.device import DeviceGather, Residents, address

from . import fake_cupy

INPUTS = (
    np.arange(60, dtype=np.float32).reshape(20, 3),
    np.arange(20, dtype=np.int32)[:, None],
)


@pytest.mark.parametrize("resident", [True, False])
def test_batches_hold_the_rows_that_were_asked_for_in_one_buffer(resident):
    cp = fake_cupy.fake()
    residents = Residents(cp, 0) if resident else None
    gather = DeviceGather(cp, 0, cp.cuda.Stream(), residents)
    places = set()
    for rows in ([3, 1, 19, 1], [0], [5, 4]):
        made = gather(INPUTS, np.array(rows))
        for array, wanted in zip(made, INPUTS, strict=True):
            assert np.array_equal(array, wanted[rows])
            assert array.dtype == wanted.dtype
        places.add(address(made[0]))
    assert len(places) == 1
    # Resident samples are brought once, the others with each batch.
    assert cp.brought == (2 if resident else 6)


def test_samples_are_shared_by_workers_and_let_go_of():
    cp = fake_cupy.fake()
    residents = Residents(cp, 0)
    first = residents.of(INPUTS)[0]
    assert residents.of(INPUTS)[0] is first
    residents.clear()
    assert cp.freed
    assert residents.of(INPUTS)[0] is not first


def test_samples_that_do_not_fit_are_refused_before_they_are_brought():
    cp = fake_cupy.fake(free=512 << 20)
    with pytest.raises(RuntimeError, match=r"Device 0 has 0\.50 GiB free.*20 samples 0\.00 GiB"):
        Residents(cp, 0).of(INPUTS)
    assert not cp.brought
