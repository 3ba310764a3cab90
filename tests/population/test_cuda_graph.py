"""When a function is captured, and what is called then."""

from fabench.population.cuda_graph import WARM_UP, Replayed


def test_the_fourth_call_is_captured_and_replayed():
    log = []

    def capture(function):
        log.append("capture")
        return lambda: log.append("replay")

    replayed = Replayed(lambda: log.append("function"), capture)
    for call in range(1, 8):
        replayed()
        expected = ["function"] if call <= WARM_UP else ["replay"]
        assert log == (["capture"] if call == WARM_UP + 1 else []) + expected
        log.clear()
