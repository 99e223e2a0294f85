"""The bodies of requests, where they have arrived: whole, in one message. Who looks into one hands it on."""

from __future__ import annotations

from starlette.types import Message, Receive


async def look_into(receive: Receive) -> tuple[bytes, Receive]:
    """The body that ``receive`` tells in its next message, and a ``receive`` that begins with it once more."""
    message = await receive()
    return message.get("body", b""), told_first(message, receive)


def told_first(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that tells ``message``, then what ``receive`` tells."""
    left = [message]

    async def receive_after() -> Message:
        return left.pop() if left else await receive()

    return receive_after
