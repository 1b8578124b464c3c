"""A simulation: a history, made up from a seed or at hand, is carried out on an engine and audited."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from proxy.pricing.charge import price
from tests.simulation.author import Author
from tests.simulation.checks import Violation
from tests.simulation.model import Model
from tests.simulation.player import Player
from tests.simulation.stages import Stage
from tests.simulation.steps import Batch, Step
from tests.simulation.world import Extent, Price, World


class Outcome(msgspec.Struct, frozen=True):
    """A history and what came of it: `violation` is the rule that its last step broke, if one did.

    `seen` counts steps, commands, refusals by code and other things that happened; `digest` is that of all
    rows.
    """

    steps: list[Step]
    seen: Counter[str]
    digest: str
    violation: Violation | None = None

    @property
    def commands(self) -> int:
        return sum(len(step.commands) for step in self.steps if isinstance(step, Batch))


async def simulate(
    stage: Stage,
    seed: int,
    extent: Extent,
    *,
    price: Price = price,
    on_time: Callable[[int], None] | None = None,
) -> Outcome:
    """Make up a history and carry it out, to its end or the first violation.

    `on_time` is told the simulated microseconds after each step. Equal arguments lead to equal rows.
    """
    model = Model()
    world = World(seed, extent, model, price=price)
    player = Player(stage, model, world.owners)
    author, steps = Author(world), list[Step]()
    try:
        for part in (author.opening(), author.steps()):
            for step in part:
                steps.append(step)
                await player.play(step)
                if on_time is not None:
                    on_time(world.now_us)
        return Outcome(steps, player.seen, await player.finish())
    except Violation as violation:
        return Outcome(steps, player.seen, "", violation)
    finally:
        await player.close()


async def replay(stage: Stage, steps: Sequence[Step]) -> Outcome:
    """Carry out a history that is at hand, to its end or the first violation."""
    player, done = Player(stage, Model()), list[Step]()
    try:
        for step in steps:
            done.append(step)
            await player.play(step)
        return Outcome(done, player.seen, await player.finish())
    except Violation as violation:
        return Outcome(done, player.seen, "", violation)
    finally:
        await player.close()
