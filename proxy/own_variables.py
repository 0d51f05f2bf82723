"""Session variables of the proxy's own, which clients set as they do a server's:

    SET SESSION multiwriter_causality = 'strong'

They are answered here and no node hears of them. COM_RESET_CONNECTION brings back what the endpoint says.
"""

from typing import TYPE_CHECKING, Final

from router import answers
from router.causality import Level
from router.facts import Statement

if TYPE_CHECKING:
    from proxy.relay import Relay

CAUSALITY: Final = "multiwriter_causality"


def assign(relay: "Relay", statement: Statement) -> None:
    """SET of one of them, alone; it holds from the next transaction on."""
    if len(statement.carries) != 1:
        relay.answer_error(answers.not_supported("SET of one of the proxy's variables together with others"))
        return
    ((name, value),) = statement.carries
    if name != CAUSALITY:
        relay.answer_error(answers.unknown_variable(name))
        return
    word = value.strip("'").lower()
    if word == "default":
        relay.level = None
    elif word in [level.value for level in Level]:
        relay.level = Level(word)
    else:
        relay.answer_error(answers.wrong_value(name, value.strip("'")))
        return
    relay.answer_ok()
