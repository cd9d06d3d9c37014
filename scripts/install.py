"""Install into .venv (or VENV) what make needs: `python scripts/install.py local`, or `dev`, or `dev,build`.

Quiet: one line a step, a counter while files are fetched, everything else in its `install.log`, whose last lines are
shown when a step fails. By uv where it is installed and by pip where not, both from the lock: `requirements/*.txt` with
hashes, and `constraints.txt` for extras that are not in there. What is missing on this machine is said before a file is
fetched, and a run that failed is gone on with by the next. Stands on the standard library alone.
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
#: What an extra takes on the disk and what of it is fetched, in MB (Linux x86-64).
SIZES = {"local": (420, 115), "dev": (720, 190)}
LARGE = (3000, 900)
#: Systems for which there are wheels of the embedded Redis.
EMBEDDED = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
TAIL = 12
_NO_NETWORK = r"NewConnectionError|Temporary failure|[Ff]ailed to fetch|ConnectTimeout|Could not connect|dns error"


class Failed(Exception):
    """A message for whoever called make."""


def main(extras: str) -> None:
    """Look, make the environment, install."""
    first = extras.split(",")[0]
    size, fetched = SIZES.get(extras, LARGE)
    look(size)
    uv = shutil.which("uv")
    make_environment(uv)
    listed = REPO / "requirements" / f"{first}.txt"
    if not listed.exists():
        raise Failed(f"there is no extra {first}: name local or dev, alone or first")
    say(f"installing [{extras}] with {'uv' if uv else 'pip'}: {fetched} MB to fetch if nothing is in its cache")
    count = packages(listed)
    install(uv, ["--require-hashes", "--no-deps", "-r", str(listed)], count)
    install(uv, ["--no-deps", "--no-build-isolation", "-e", "."], 1)
    if extras not in SIZES:  # by pip: its settings on this machine may name the variant of torch that is right here
        install(None, ["--no-build-isolation", "-c", "constraints.txt", "-e", f".[{extras}]"], 1)


def say(text: str) -> None:
    """A line for a step."""
    print(text, flush=True)


# What is missing is said before anything is fetched


def look(size: int) -> None:
    """Raise Failed for what would fail later."""
    if not os.access(REPO, os.W_OK):
        raise Failed(f"{REPO} cannot be written to: clone into a folder of your own, or take the rights to this one")
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
    """A .venv of this Python, unless there is one that works."""
    if works() and not half_done().exists():
        return
    say(f"making {VENV.name} with Python {platform.python_version()}")
    shutil.rmtree(VENV, ignore_errors=True)
    maker = [uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
    made = subprocess.run([*maker, str(VENV)], check=False, capture_output=True, text=True)
    if made.returncode:
        raise Failed(f"{VENV.name} could not be made\n{tail(made.stdout + made.stderr)}")


def works() -> bool:
    """Whether there is an environment whose Python starts: one may be gone, or have been moved."""
    python = VENV / "bin" / "python"
    return python.exists() and subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def half_done() -> Path:
    """A mark: files were being put into the environment. What of them is whole, nobody knows."""
    return VENV / ".half-done"


# The steps


def install(uv: str | None, what: list[str], count: int) -> None:
    """Install, counting. Raises Failed with the last lines of the log."""
    python = str(VENV / "bin" / "python")
    if uv:
        command = [uv, "pip", "install", "--python", python, "--no-progress", *what]
    else:
        if subprocess.run([python, "-m", "pip", "-V"], check=False, capture_output=True).returncode:
            subprocess.run([python, "-m", "ensurepip"], check=False, capture_output=True)  # made by uv, without pip
        # Compiled when they are first imported: of most modules that is never.
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
    said = LOG.read_text("utf-8", "replace")[start:]
    if process.returncode == 0 or not re.search(r"Installing collected|Failed to install|Prepared \d", said):
        half_done().unlink()
    if process.returncode:
        raise Failed(f"{reason(said)}\n{tail(said)}\nAll of it is in {LOG}. Running make again goes on from here.")


class Counter:
    """A line that counts: rewritten on a terminal, elsewhere a new one every ten seconds."""

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

    def show(self, said: str) -> None:
        """What the log says so far, in a few words."""
        now = time.monotonic()
        if self._live:
            sys.stdout.write(f"\r\033[K  {self._words(said)}, {now - self._start:.0f} s")
            sys.stdout.flush()
        elif now > self._next:
            self._next += 10.0
            say(f"  {self._words(said)}, {now - self._start:.0f} s")

    def _words(self, said: str) -> str:
        if "Installing collected packages" in said or "Prepared" in said:
            return "installing what was fetched"
        found = re.findall(r"^(?:Collecting|Downloading|Requirement already satisfied:|Processing) +(\S+)", said, re.M)
        names = list(dict.fromkeys(name for name in found if not name.endswith((".whl", ".tar.gz", ".metadata"))))
        if not names:
            return "looking"
        if any(line.startswith("Collecting") for line in said.splitlines()):  # pip says each, uv the large ones alone
            of = f" {len(names)} of {self._count}:" if self._count > 1 else ""
            return f"fetching{of} {re.split('[<>=!~;]', names[-1])[0]}"
        return f"fetching {', '.join(names[-3:])}"


def packages(listed: Path) -> int:
    """How many a list with hashes names, but for those of systems that bulkqa does not run on."""
    lines = re.findall(r"^\S+==.*", listed.read_text("utf-8"), re.M)
    return sum(not re.search(r"== '(win32|nt|emscripten)'", line) for line in lines)


def reason(said: str) -> str:
    """Why an installation failed, in one line."""
    if re.search(r"No space left on device|os error 28", said):
        return "the disk is full: make room, and run make again"
    if re.search(_NO_NETWORK, said):
        names = re.findall(r"^Collecting (\S+)", said, re.M) or re.findall(r"/simple/([\w.-]+)/", said)
        which = names[-1].partition("=")[0] if names else "a package"
        return f"{which} could not be fetched: is there a network, or a proxy to name in HTTPS_PROXY?"
    if "Permission denied" in said:
        return "something could not be written"
    return "the installation failed"


def tail(said: str) -> str:
    """The last lines, indented."""
    return "\n".join(f"  {line}" for line in said.strip().splitlines()[-TAIL:])


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "local")
    except Failed as error:
        sys.exit(f"make setup: {error}")
    except OSError as error:
        sys.exit(f"make setup: {error.filename or REPO}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("make setup: stopped; running make again goes on from here")
