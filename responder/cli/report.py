"""What ``responder test`` prints for people, and the JUnit XML for machines.

Source: https://github.com/testmoapp/junitxml (the de-facto format).
"""

import re
import xml.etree.ElementTree as Xml
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from responder.trial import Miss, Outcome

NOTHING: Final = "nothing"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't carry."""


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield what is said of one test."""
    if outcome.good:
        yield f"PASS  {outcome.test.name}"
        return
    yield f"FAIL  {outcome.test.name}  ({outcome.test.place})"
    for miss in outcome.misses:
        yield from ("      " + line for line in _said(miss))


def junit(files: Mapping[str, Sequence[Outcome]]) -> bytes:
    """Return the results as XML: a suite for each file, a case for each test."""
    root = Xml.Element("testsuites", name="responder test")
    _count(root, [outcome for outcomes in files.values() for outcome in outcomes])
    for file, outcomes in files.items():
        suite = Xml.SubElement(root, "testsuite", name=_carried(file))
        _count(suite, outcomes)
        for outcome in outcomes:
            name, seconds = _carried(outcome.test.name), f"{outcome.seconds:.3f}"
            case = Xml.SubElement(suite, "testcase", classname=_carried(file), name=name, time=seconds)
            if not outcome.good:
                message = f"{outcome.misses[0].words} ({outcome.misses[0].place})"
                failure = Xml.SubElement(case, "failure", message=_carried(message), type="expectation")
                failure.text = _carried("\n".join(line for miss in outcome.misses for line in _said(miss)))
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True))


def _said(miss: Miss) -> Iterator[str]:
    yield f"{miss.words}  ({miss.place})"
    for difference in miss.differences:
        yield f"  exp: {difference.exp or NOTHING}"
        yield f"  got: {difference.got or NOTHING}"


def _count(element: Xml.Element, outcomes: Sequence[Outcome]) -> None:
    failed = sum(not outcome.good for outcome in outcomes)
    element.attrib |= {
        "tests": str(len(outcomes)), "failures": str(failed), "errors": "0",
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }  # fmt: skip


def _carried(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)
