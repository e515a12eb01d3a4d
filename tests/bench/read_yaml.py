"""Measures source.parse against yaml.load(CSafeLoader) on the same file: `python tests/bench/read_yaml.py`.

The peer gives data without places, resolves YAML 1.1 and keeps the last of two equal keys; so it does less. A
ratio below 1 means that source.parse is the faster one.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

import yaml

from audiencesync import source, syntax

_STEP = """\
  - clauseType: INCLUDE
    simpleFilter:
      scope: AUDIENCE_FILTER_SCOPE_ACROSS_ALL_SESSIONS
      filterExpression:
        andGroup:
          filterExpressions:
            - orGroup:
                filterExpressions:
                  # what they did
                  - eventFilter: {eventName: add_to_cart}
                  - dimensionOrMetricFilter:
                      fieldName: country
                      stringFilter: {matchType: EXACT, value: "Austria"}
"""
_HEAD = """\
displayName: Cart abandoners
description: "Added to cart, did not buy."
membershipDurationDays: 30
exclusionDurationMode: EXCLUDE_TEMPORARILY
manage:
  key: cart-abandoners
  contact: growth-team
  labels: [remarketing]
  reviewBy: 2027-03-31
filterClauses:
"""
_ROUNDS = 15
_LOOPS = 100


def _milliseconds(call: Callable[[], object]) -> float:
    """Give the CPU time of one call in the round that was disturbed least."""
    rounds = []
    for _ in range(_ROUNDS):
        gc.collect()
        start = time.process_time()
        for _ in range(_LOOPS):
            call()
        rounds.append((time.process_time() - start) / _LOOPS * 1000)
    return min(rounds)


def main() -> None:
    """Print the times of both readers, their ratio, and the bytes that a document keeps."""
    text = _HEAD + _STEP * 3
    text += "".join(f"# line {number}\n" for number in range(50 - text.count("\n")))
    raw = text.encode()
    ours = _milliseconds(lambda: source.parse("a.yaml", raw))
    peer = _milliseconds(lambda: yaml.load(raw, Loader=yaml.CSafeLoader))
    events = _milliseconds(lambda: list(yaml.parse(raw, Loader=yaml.CLoader)))
    print(f"{text.count(chr(10))} lines, {len(raw)} bytes, parser {syntax.parser_class().__name__}")
    print(f"source.parse           {ours:.3f} ms")
    print(f"yaml.load(CSafeLoader) {peer:.3f} ms   ratio {ours / peer:.2f}")
    print(f"libyaml's events alone {events:.3f} ms   ratio {ours / events:.2f}")
    tracemalloc.start()
    documents = [source.parse("a.yaml", raw) for _ in range(1000)]
    print(f"memory kept a document {tracemalloc.get_traced_memory()[0] / len(documents) / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
