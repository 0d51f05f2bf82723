"""Holds conversations with one server directly and with the proxy, several at a time, and compares what was heard."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.differential import schemas
from tests.differential.client import Client
from tests.differential.conversation import Conversation, Difference, Names, Talk, compare

AT_ONCE = 4
"""Conversations that the proxy has at a time, whose statements alternate."""


class Runner:
    """`direct` is the port of a node, `proxied` the proxy's; `connect(number)` opens a connection past it to a node,
    which takes several statements in one text and sees all that was committed before.
    """

    def __init__(self, direct: int, proxied: int, connect: Callable[[int], Any]) -> None:
        self._ports = {"d": direct, "p": proxied}
        self._nodes = [connect(number) for number in (1, 2, 3)]
        self._runs = 0
        self._before: dict[tuple[str, int], Conversation] = {}
        for place in range(AT_ONCE):
            for side in self._ports:
                schemas.create(self._nodes[0], self._names(side, place))

    def close(self) -> None:
        for connection in self._nodes:
            connection.close()

    def run(self, conversations: Sequence[Conversation], seed: int) -> list[Difference]:
        """The differences of up to `AT_ONCE` conversations; `seed` draws the order in which they take turns."""
        self._prepare(conversations)
        heard = {side: self._hold(side, conversations, random.Random(seed)) for side in self._ports}
        found = map(compare, conversations, heard["d"], heard["p"])
        return [difference for difference in found if difference is not None]

    def hear(self, conversation: Conversation) -> tuple[list[bytes], list[bytes]]:
        """All that is heard of one, directly and through the proxy."""
        self._prepare([conversation])
        direct, proxied = (self._hold(side, [conversation], random.Random(0))[0] for side in self._ports)
        return direct, proxied

    def minimise(self, difference: Difference, tries: int = 3) -> Difference:
        """The same with as few steps as show it when the conversation is held alone; as it is if none does."""
        best = self._shows(difference.conversation, tries)
        if best is None:
            return difference
        size = max(1, best.at // 2)
        while True:
            steps = best.conversation.steps[: best.at]
            for start in range(0, len(steps), size):
                shorter = replace(best.conversation, steps=steps[:start] + steps[start + size :])
                found = self._shows(shorter, tries)
                if found is not None:
                    best = found
                    break
            else:
                if size == 1:
                    return best
                size = size // 2

    def _shows(self, conversation: Conversation, tries: int) -> Difference | None:
        for seed in range(tries):
            found = self.run([conversation], seed)
            if found:
                return found[0]
        return None

    def _hold(self, side: str, conversations: Sequence[Conversation], lot: random.Random) -> list[list[bytes]]:
        port = self._ports[side]
        talks = [
            Talk(each, lambda capabilities, schema: Client(port, capabilities, schema), self._names(side, place))
            for place, each in enumerate(conversations)
        ]
        try:
            while under_way := [talk for talk in talks if len(talk)]:
                lot.choice(under_way).go_on()
        finally:
            for talk in talks:
                talk.close()
        return [talk.heard for talk in talks]

    def _prepare(self, conversations: Sequence[Conversation]) -> None:
        """Give every schema that these will be held in its first contents, on every node."""
        self._runs += 1
        places = [(side, place) for side in self._ports for place in range(len(conversations))]
        schemas.fill(self._nodes[0], [(self._names(*each), self._before.get(each)) for each in places])
        self._before.update({(side, place): conversations[place] for side, place in places})
        for node in self._nodes[1:]:
            with node.cursor() as cursor:
                cursor.execute(f"SELECT COUNT(*) FROM {self._names('d', 0).one}.t")

    def _names(self, side: str, place: int) -> Names:
        return Names(f"{side}1schema{place}", f"{side}2schema{place}", f"{side}lock{place}x{self._runs:06}")
