"""What systemd is told and gives (sd_notify, socket activation); without it, nothing happens here.

Source: sd_notify(3), sd_listen_fds(3).
"""

import os
import socket
from typing import Final

_FIRST: Final = 3
"""The first descriptor that systemd hands over."""


def tell(state: str) -> None:
    """Send a state such as ``READY=1`` to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.sendall(state.encode())


def inherited(host: str, port: int) -> list[socket.socket] | None:
    """Return the open sockets of a ``.socket`` unit, or None: then the daemon opens its own.

    While the daemon restarts, new connections wait in these and nobody is refused.

    Raises:
        ValueError: They listen elsewhere than the configuration says, which decides on ``auth``.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    found = [socket.socket(fileno=_FIRST + n) for n in range(int(os.environ.get("LISTEN_FDS", "0")))]
    for one in found:
        if one.getsockname()[:2] != (host, port):
            raise ValueError(f"systemd listens on {one.getsockname()}, the configuration on {host}:{port}")
    return found or None
