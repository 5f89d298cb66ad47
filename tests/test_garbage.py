"""What the garbage collector does between batches, because in their midst it would only look at what is in use."""

import gc
import weakref

from responder.resident import YOUNG, collect_young


class Ring:
    """As an answer and its request hold each other."""

    def __init__(self) -> None:
        self.own = self


def test_rings_that_answers_leave_behind_go_at_the_next_tick() -> None:
    gc.collect()
    gc.disable()
    try:
        few = weakref.ref(Ring())
        collect_young()
        assert few() is not None, "a few are not worth a look"
        rings = [Ring() for _ in range(YOUNG)]
        last = weakref.ref(rings[-1])
        del rings
        collect_young()
        assert few() is None
        assert last() is None
    finally:
        gc.enable()
