import missing
import pytest
from tally import print_table


@pytest.mark.slow
def test_missing__every_chunk_is_an_error_or_the_fill_value():
    tallies = missing.run(small=True)
    assert print_table(tallies) == 0
    assert len(tallies) > 30
    assert all(tally.injected for tally in tallies)
