from tally import Tally, print_table


def test_print_table__fails_for_what_is_silent_crashed_or_unaccounted_for():
    good = Tally("good", injected=1, survived=1)
    assert print_table([good], write=[].append) == 0
    for bad in (
        Tally("silent", injected=1, silent=1),
        Tally("crash", injected=1, crashes=1),
        Tally("lost", injected=2, survived=1),
        Tally("crash all the same", injected=1, crashes=1, may_be_silent=True),
    ):
        assert print_table([good, bad], write=[].append) == 1


def test_print_table__what_nothing_could_detect_is_shown_and_allowed():
    lines = []
    tally = Tally("no checksum", may_be_silent=True)
    tally.add("silent")
    tally.add("survived")
    assert print_table([tally], write=lines.append) == 0
    assert lines[-1] == "| no checksum | 2 | 1 | 1 | 0 |  |"
