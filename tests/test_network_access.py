"""Nothing is sent anywhere."""

import os
import subprocess
from pathlib import Path

from conftest import annotate_command, environment

WATCH = """
import os, socket, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind"):
        inside = not event.startswith("socket.get") and (
            arguments[0].family == socket.AF_UNIX
            or event == "socket.bind" and arguments[1][0] in ("::1", "127.0.0.1")  # urllib3 asks for IPv6
        )
        if not inside:
            with open(os.environ["WATCHED"], "a") as log:
                log.write(f"{event} {arguments[1:]}\\n")

sys.addaudithook(watch)
with open(os.environ["WATCHED"], "a") as log:
    log.write(f"watching {os.getpid()}\\n")
"""


def test_no_connection_is_opened(photos: Path, tmp_path: Path) -> None:
    """Neither the job nor its workers look up a name, connect or listen."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(tmp_path / "watch"), str(Path(__file__).parents[1])])
    watched = {**environment(), "PYTHONPATH": path, "WATCHED": str(tmp_path / "log")}
    command = annotate_command(photos, "-o", tmp_path / "out", "-j", 2)
    done = subprocess.run(command, env=watched, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) >= 3  # the job and its two workers
    assert [line for line in lines if not line.startswith("watching")] == []
