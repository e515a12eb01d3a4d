"""Measures plan and apply: `python tests/bench/apply.py`.

Requests a verb against the fewest that can do the same safely, the rate under a quota on a simulated clock,
and the CPU seconds of a plan over 400 audiences.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import audiencesync
from audiencesync import http
from audiencesync.action import Verb
from audiencesync.apply import Options
from audiencesync.ga4 import Property
from audiencesync.local.api import Api, Quota, Switches
from audiencesync.local.store import Store
from audiencesync.model import Desired
from audiencesync.plan import plan
from audiencesync.report import plans, text
from audiencesync.wire import to_api
from tests.property import World
from tests.shop import PROPERTY, audience, desired, policy
from tests.test_quota_apply import MINUTE, Slow

ADOPTED = "adopted"
T = TypeVar("T")

# The fewest requests beside the list: without an etag each write needs a read before it, a create has to be
# bound to its id, and a replacement is read back before the old audience goes.
LEAST = {
    Verb.KEEP: ("", 0),
    Verb.PATCH: ("read, patch", 2),
    Verb.ADOPT: ("read, patch", 2),
    Verb.CREATE: ("create, read, bind", 3),
    Verb.REPLACE: ("create, read, bind, read back, read old, archive", 6),
    Verb.ARCHIVE: ("read, archive", 2),
}


def counted(world: World, work: Callable[[], object]) -> Counter[str]:
    world.calls.clear()
    work()
    return Counter(call.method for call in world.calls)


def files(count: int, verb: Verb, names: list[str]) -> list[Desired]:
    """What the files say so that each of the keys gets the verb."""
    keys = [f"k{number}" for number in range(count)]
    match verb:
        case Verb.KEEP | Verb.CREATE:
            return [desired(key) for key in keys]
        case Verb.PATCH:
            return [desired(key, audience(f"{key} anew")) for key in keys]
        case Verb.REPLACE:
            return [desired(key, audience(key, days=60)) for key in keys]
        case Verb.ARCHIVE:
            return [desired("other")]
        case Verb.ADOPT:
            ids = [name.rpartition("/")[2] for name in names]
            pairs = zip(keys, ids, strict=True)
            return [desired(key, audience(f"{ADOPTED} {key}"), adopt=(("", ident),)) for key, ident in pairs]


def requests(count: int = 20) -> None:
    print(f"requests for {count} audiences   plan  apply  fewest  ratio   a key: fewest")
    for verb in Verb:
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder))
            names: list[str] = []
            if verb is Verb.ADOPT:
                made = (world.make(to_api(audience(f"{ADOPTED} k{n}"))) for n in range(count))
                names = list(made)
            elif verb is not Verb.CREATE:
                world.apply(
                    files(count, Verb.CREATE, []) + ([desired("other")] if verb is Verb.ARCHIVE else [])
                )
            wanted = files(count, verb, names)
            planned = counted(world, partial(world.plan, wanted)).total()
            applied = counted(world, partial(world.apply, wanted)).total()
            assert not world.plan(wanted).changed
            world.close()
        way, each = LEAST[verb]
        # One list to plan from, and one more after creates, to find a racing run's twin.
        fewest = 1 + each * count + (verb in (Verb.CREATE, Verb.REPLACE))
        ratio = f"{planned:>6} {applied:>6} {fewest:>7} {applied / fewest:>6.2f}"
        print(f"  {verb.value:<24} {ratio}   {each}: {way}")


def rate(creates: int = 500) -> None:
    print("\ncreates under a quota     workers  minutes  refused  to 180 writes a minute")
    statuses: tuple[Literal[403, 429], ...] = (403, 429)
    for status in statuses:
        for after in (True, False):
            for workers in (1, 4):
                with tempfile.TemporaryDirectory() as folder:
                    slow = Slow(Path(folder), Quota(status=status, retry_after=after), latency=0.05)
                    remote = slow.remote()
                    wanted = [desired(f"k{number}") for number in range(creates)]
                    found = plan(wanted, audiencesync.read(remote), policy(audiences=2 * creates))
                    began = slow.clock.now
                    options = Options(stop=slow.clock.begin, progress=slow.clock.end, workers=workers)
                    done = len(list(audiencesync.carry_out(found, remote, options)))
                    slow.store.close()
                assert (done, slow.written) == (creates, 2 * creates)
                minutes = (slow.last - began) / MINUTE
                head = f"  {status}, Retry-After {after!s:<6} {workers:>6} {minutes:>8.1f} {slow.refused:>8}"
                print(f"{head}  {slow.written / minutes / 180:.1%}")


def cpu(count: int = 400) -> None:
    """Plans a workspace of so many files, half of them changed, over as many live audiences."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"owner": "acme-web", "targets": {"demo": {"property": PROPERTY, "endpoint": "local"}}}
        settings |= {"limits": {"audiences": 500, "destructive": 500}}
        (folder / "audiencesync.yaml").write_text(json.dumps(settings))
        for number in range(count):
            body = to_api(audience(f"Audience {number}"))
            (folder / f"a{number}.yaml").write_text(json.dumps(body))
        workspace = audiencesync.load(folder)
        with tempfile.TemporaryDirectory() as state:
            store = Store(Path(state))
            api = Api(store=store, properties=(PROPERTY,), switches=Switches(audience_limit=500))
            world = _client(api)
            first = audiencesync.compare(workspace, "", audiencesync.read(world))
            list(audiencesync.carry_out(first, world))
            for number in range(0, count, 2):
                days, words = (60, "") if number % 4 else (30, " anew")
                body = to_api(audience(f"Audience {number}{words}", days=days))
                (folder / f"a{number}.yaml").write_text(json.dumps(body))
            steps: dict[str, float] = {}

            def timed(what: str, work: Callable[[], T]) -> T:
                began = time.process_time()
                result = work()
                steps[what] = time.process_time() - began
                return result

            workspace = timed("read and check the files", lambda: audiencesync.load(folder))
            lives = timed("list the property", lambda: audiencesync.read(world))
            found = timed("compare", lambda: audiencesync.compare(workspace, "", lives))
            page = timed("make the report", lambda: plans.page(found))
            timed("print it", lambda: text.render(page, width=100, colour=False))
            store.close()
    print(f"\nCPU seconds of a plan over {count} audiences ({found.summary})")
    for what, seconds in steps.items():
        print(f"  {what:<26} {seconds:.2f}")
    print(f"  {'all together':<26} {sum(steps.values()):.2f}  (wanted: below 1)")


def _client(api: Api) -> Property:
    both = http.connect_local(api.answer, http.Options(limits=None))
    return Property(both, both, PROPERTY)


def main() -> None:
    """Prints the three tables."""
    requests()
    rate()
    cpu()


if __name__ == "__main__":
    main()
