"""The Flower ClientApp of a node: a train message becomes a task under the node owner's policy."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from .._errors import Error, InvalidArgument
from ._policy import Policy
from ._task import run_task

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

__all__ = ["POLICY_VARIABLE", "client_app"]

POLICY_VARIABLE = "WASMGRAD_POLICY"
_log = logging.getLogger("flwr")


def client_app(policy: Policy | None = None) -> ClientApp:
    """A ClientApp that trains.

    policy: without one, that of the file which the environment variable WASMGRAD_POLICY or, where it is not set,
    `policy` in the node's own configuration (`flower-supernode --node-config`) names; it is read for each message.

    A task that fails is answered by an error that says of which kind it was. The sentence is in the node's log: it
    may quote the node's paths, and what a guest wrote.
    """
    from flwr.app import Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    def train(message: Message, context: Context) -> Message:
        from ._records import CONFIG, reply_of, task_of

        try:
            result = run_task(task_of(message.content), policy or _policy_of(context))
            return Message(reply_of(result, message.content.config_records[CONFIG]), reply_to=message)
        except Error as error:
            _log.error("wasmgrad: the task failed: %s", error.message)
            return _refusal(message, error)

    app.train()(train)
    return app


def _refusal(message: Message, error: Error) -> Message:
    from flwr.app import Error as FlowerError
    from flwr.app import Message
    from flwr.common.constant import ErrorCode

    reason = f"{type(error).__name__} ({error.kind}); the node's log has the sentence"
    return Message(FlowerError(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def _policy_of(context: Context) -> Policy:
    chosen = os.environ.get(POLICY_VARIABLE) or context.node_config.get("policy")
    if not isinstance(chosen, str):
        raise InvalidArgument(
            f"this node has no policy; its owner names a file by {POLICY_VARIABLE} or `flower-supernode --node-config"
            " 'policy=\"FILE\"'`"
        )
    return Policy.load(chosen)
