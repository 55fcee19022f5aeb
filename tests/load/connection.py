"""A keep-alive HTTP/1.1 client connection with as little in it as load needs, so that it does not eat the machine.

One request at a time, answers with a Content-Length only: this talks to our own API, not to the internet.
"""

import socket

_CONNECT_LIMIT_S = 1.0


class Connection:
    """A connection to a port of this machine that never waits; OSError when nobody listens there.

    `request` is the caller's number of what is under way, -1 for nothing.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _CONNECT_LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._buffer = b""
        self.descriptor = self._socket.fileno()
        self.request = -1

    def send(self, data: bytes) -> bool:
        """Whether the whole request left: it always fits, since there is nothing before it."""
        try:
            return self._socket.send(data) == len(data)
        except OSError:
            return False

    def receive(self) -> tuple[int, bytes] | tuple[()] | None:
        """The status and body of an answer; () as long as it is not complete, None when the connection is over."""
        try:
            data = self._socket.recv(65_536)
        except BlockingIOError:
            return ()
        except OSError:
            return None
        if not data:
            return None
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return ()
        end = head_end + 4 + content_length(self._buffer[:head_end])
        if len(self._buffer) < end:
            return ()
        status, body = int(self._buffer[9:12]), self._buffer[head_end + 4 : end]
        self._buffer = self._buffer[end:]
        return status, body

    def close(self) -> None:
        self._socket.close()


def content_length(head: bytes) -> int:
    """The Content-Length of a message's head in any case of letters; 0 when there is none."""
    at = head.find(b"ontent-length:")
    if at < 0:
        at = head.find(b"ontent-Length:")
    if at < 0:
        return 0
    end = head.find(b"\r\n", at)
    return int(head[at + 14 : end if end >= 0 else len(head)])
