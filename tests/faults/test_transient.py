import pytest
import transient
from tally import print_table
from zarr.storage import MemoryStore

from streamsparse.sources import reading


@pytest.mark.slow
def test_transient__failures_that_pass_leave_the_bits_and_others_are_named():
    tallies = transient.run(small=True)
    assert print_table(tallies) == 0
    assert all(tally.injected for tally in tallies)


def test_transient__the_faults_reach_the_store(monkeypatch):
    monkeypatch.setattr(reading, "PAUSES", ())
    store = MemoryStore()
    transient.write_dense(store, transient.dense_matrix(), chunks=(3, 8))
    for seed in range(3):
        faulty = transient.FaultyStore(store, transient.flaky(seed, share=0.5, most=3))
        # Without another try, the same faults end the run.
        with pytest.raises(transient.StoreError):
            transient.read_all(faulty)
