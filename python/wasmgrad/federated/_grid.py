"""A federation inside one process: nodes that are policies on this computer, for a first try and for tests.

No network, no processes of Flower's; guests run in their sandboxes as always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from ._client import client_app
from ._policy import Policy

__all__ = ["LocalGrid"]

Node = Callable[[Message, Context], Message]


class LocalGrid(Grid):
    """Nodes of this process; each is a policy, or a ClientApp of its own."""

    def __init__(self, nodes: Sequence[Policy | Node]) -> None:
        self._nodes = {
            number: client_app(node) if isinstance(node, Policy) else node
            for number, node in enumerate(nodes, 1)
        }
        # What Flower's processes learn from their server when they start.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def get_node_ids(self) -> Iterable[int]:
        """The nodes' numbers, from 1."""
        return list(self._nodes)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Lets the nodes answer, one after the other."""
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        number = message.metadata.dst_node_id
        context = Context(1, number, {}, RecordDict(), {})
        try:
            return self._nodes[number](message, context)
        except Exception as error:  # as Flower's own process of a ClientApp does
            refusal = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{type(error).__name__}: {error}")
            return Message(refusal, reply_to=message)

    # The rest of the interface is for messages on their way, of which there are none here.

    def set_run(self, run: Any) -> None:
        """Nothing to set."""

    @property
    def run(self) -> Any:
        """There is no run of Flower's."""
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Messages are made by their class."""
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See `send_and_receive`."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See `send_and_receive`."""
        raise NotImplementedError
