"""Installs what make needs into .venv (or VENV): `python scripts/install.py local`, or `dev`, or `dev,build`.

Quiet: one line for each step, a counter during downloads, and everything else in its `install.log`, whose last lines
are shown if a step fails. Uses uv if it is installed, else pip, both with the lock: `requirements/*.txt` with hashes,
and `constraints.txt` for extras that are not in those. Missing requirements are reported before the first download, and
a failed run continues with the next. Needs only the standard library.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
VENV = REPO / os.environ.get("VENV", ".venv")
LOG = VENV / "install.log"
#: MB of an extra on the disk, and MB to download (Linux x86-64).
SIZES = {"local": (440, 125), "dev": (740, 200)}
LARGE = (3000, 900)
#: Systems for which there are wheels of the embedded Redis.
EMBEDDED = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
TAIL = 12
_NO_NETWORK = r"NewConnectionError|Temporary failure|[Ff]ailed to fetch|ConnectTimeout|Could not connect|dns error"


class Failed(Exception):
    """A step failed; the message is for the user of make."""


def main(extras: str) -> None:
    """Check, make the environment, install."""
    first = extras.split(",")[0]
    size, download = SIZES.get(extras, LARGE)
    check(size)
    uv = shutil.which("uv")
    make_environment(uv)
    listed = REPO / "requirements" / f"{first}.txt"
    if not listed.exists():
        raise Failed(f"there is no extra {first}: name local or dev, alone or first")
    say(f"installing [{extras}] with {'uv' if uv else 'pip'}: {download} MB to download if nothing is cached")
    count = packages(listed)
    install(uv, ["--require-hashes", "--no-deps", "-r", str(listed)], count)
    install(uv, ["--no-deps", "--no-build-isolation", "-e", "."], 1)
    if extras not in SIZES:  # by pip: its configuration may name the variant of torch for this machine
        install(None, ["--no-build-isolation", "-c", "constraints.txt", "-e", f".[{extras}]"], 1)


def say(text: str) -> None:
    """Print the line of a step."""
    print(text, flush=True)


# Checks before the first download


def check(size: int) -> None:
    """Raise Failed for what would fail later."""
    if not os.access(REPO, os.W_OK):
        raise Failed(f"{REPO} cannot be written to: clone into a folder of your own, or change its permissions")
    free = shutil.disk_usage(REPO).free >> 20
    if free < size and not VENV.exists():
        raise Failed(f"{REPO} has {free} MB free and about {size} are needed: make room, or clone elsewhere")
    if not shutil.which("uv") and importlib.util.find_spec("ensurepip") is None:
        raise Failed(
            f"{sys.executable} cannot make environments: install its venv (Debian: python3-venv), or uv: "
            "https://docs.astral.sh/uv"
        )
    here = (platform.system(), platform.machine())
    if here not in EMBEDDED and not (shutil.which("redis-server") or shutil.which("valkey-server")):
        raise Failed(
            f"there is no embedded Redis for {' '.join(here)}: install the package redis-server or valkey-server first"
        )


def make_environment(uv: str | None) -> None:
    """Make a .venv with this Python, unless there is one that works."""
    if works() and not half_done().exists():
        return
    say(f"making {VENV.name} with Python {platform.python_version()}")
    shutil.rmtree(VENV, ignore_errors=True)
    maker = [uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    done = subprocess.run([*maker, str(VENV)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{VENV.name} could not be made\n{tail(done.stdout + done.stderr)}")


def works() -> bool:
    """Whether the environment exists and its Python starts: that may have been removed, or moved."""
    python = VENV / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def half_done() -> Path:
    """A marker: an installation into the environment was interrupted, so its files may be incomplete."""
    return VENV / ".half-done"


# The steps


def install(uv: str | None, what: list[str], count: int) -> None:
    """Install with a counter. Raises Failed with the last lines of the log."""
    python = str(VENV / "bin" / "python")
    if uv:
        command = [uv, "pip", "install", "--python", python, "--no-progress", *what]
    else:
        if subprocess.run([python, "-m", "pip", "-V"], check=False, capture_output=True).returncode:
            subprocess.run([python, "-m", "ensurepip"], check=False, capture_output=True)  # uv makes it without pip
        # Modules are compiled at their first import: most are never imported.
        quiet = ["--disable-pip-version-check", "--no-input", "--no-compile", "--retries", "2", "--progress-bar", "off"]
        command = [python, "-m", "pip", "install", *quiet, *what]
    half_done().touch()
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        start = log.tell()
        process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=log)
        with Counter(count) as counter:
            while process.poll() is None:
                counter.show(LOG.read_text("utf-8", "replace")[start:])
                time.sleep(0.2)
    output = LOG.read_text("utf-8", "replace")[start:]
    if process.returncode == 0 or not re.search(r"Installing collected|Failed to install|Prepared \d", output):
        half_done().unlink()
    if process.returncode:
        raise Failed(f"{reason(output)}\n{tail(output)}\nThe whole log is {LOG}. Run make again to continue from here.")


class Counter:
    """A progress line: rewritten on a terminal, elsewhere a new one every ten seconds."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._start = time.monotonic()
        self._next = self._start + 10.0
        self._live = sys.stdout.isatty()

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()

    def show(self, output: str) -> None:
        """Show the progress that the log has so far."""
        now = time.monotonic()
        if self._live:
            sys.stdout.write(f"\r\033[K  {self._words(output)}, {now - self._start:.0f} s")
            sys.stdout.flush()
        elif now > self._next:
            self._next += 10.0
            say(f"  {self._words(output)}, {now - self._start:.0f} s")

    def _words(self, output: str) -> str:
        if "Installing collected packages" in output or "Prepared" in output:
            return "installing the downloads"
        steps = "Collecting|Downloading|Requirement already satisfied:|Processing"
        names = re.findall(rf"^(?:{steps}) +(\S+)", output, re.M)
        names = list(dict.fromkeys(name for name in names if not name.endswith((".whl", ".tar.gz", ".metadata"))))
        if not names:
            return "resolving"
        if any(line.startswith("Collecting") for line in output.splitlines()):  # pip names each, uv only large ones
            of = f" {len(names)} of {self._count}:" if self._count > 1 else ""
            return f"downloading{of} {re.split('[<>=!~;]', names[-1])[0]}"
        return f"downloading {', '.join(names[-3:])}"


def packages(listed: Path) -> int:
    """How many packages a list with hashes has, without those for systems that bulkqa does not run on."""
    lines = re.findall(r"^\S+==.*", listed.read_text("utf-8"), re.M)
    return sum(not re.search(r"== '(win32|nt|emscripten)'", line) for line in lines)


def reason(output: str) -> str:
    """Why an installation failed, in one line."""
    if re.search(r"No space left on device|os error 28", output):
        return "the disk is full: make room, and run make again"
    if re.search(_NO_NETWORK, output):
        names = re.findall(r"^Collecting (\S+)", output, re.M) or re.findall(r"/simple/([\w.-]+)/", output)
        which = names[-1].partition("=")[0] if names else "a package"
        return f"{which} could not be downloaded: is there a network, or a proxy to set in HTTPS_PROXY?"
    if "Permission denied" in output:
        return "something could not be written"
    return "the installation failed"


def tail(output: str) -> str:
    """The last lines, indented."""
    return "\n".join(f"  {line}" for line in output.strip().splitlines()[-TAIL:])


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "local")
    except Failed as error:
        sys.exit(f"make setup: {error}")
    except OSError as error:
        sys.exit(f"make setup: {error.filename or REPO}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("make setup: stopped; run make again to continue from here")
