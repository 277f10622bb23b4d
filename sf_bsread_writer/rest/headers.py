"""Headers that tell a browser how little to do with an answer: on each that does not bring its own."""

from litestar.types import Message, Send

NOT_GUESSED = ("x-content-type-options", "nosniff")
"""On every answer, also those that uvicorn gives by itself."""

_STRICT = {  # a browser that is led here shows nothing but what it is told, runs nothing, and keeps nothing
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}


def strictly(send: Send) -> Send:
    """Sends what it is given, with the strict headers that it lacks; names of headers are in lower case, as ASGI wants them."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            given = {name for name, _ in headers}
            message["headers"] = headers + [pair for pair in _STRICT.items() if pair[0] not in given]
        await send(message)

    return sending
