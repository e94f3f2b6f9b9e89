"""What the system's files say of this process: /proc, and the cgroups (version 1 and 2) around it.

A container's quota counts, not the host's size. `root` is where `/proc` and `/sys` are, so that a test can build its own.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups that may limit `controller`, and of every group above them.

    A container often sees its own group as the root of the mount, while /proc/self/cgroup names the host's path; then only
    the mount's root is there.
    """
    seen: set[Path] = set()
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mounts = [names, controller] if names else ["", "unified"]  # version 2 has no names
        for mount in (root / "sys/fs/cgroup" / name for name in dict.fromkeys(mounts)):
            inside = mount / path.strip("/")
            for folder in (inside, *inside.parents):
                if folder not in seen and folder.is_relative_to(mount) and folder.is_dir():
                    seen.add(folder)
                    yield folder


def numbers(path: Path) -> dict[str, int]:
    """The lines of a file that read `VmRSS:  123 kB`, as bytes by name, and those that read `inactive_file 123`."""
    fields = {}
    for line in text_of(path).splitlines():
        match line.split():
            case [key, number, *unit] if number.isdigit() and unit in ([], ["kB"]):
                fields[key.removesuffix(":")] = int(number) * (1024 if unit else 1)
    return fields


def whole_number(path: Path) -> int | None:
    """The whole number in a file; None for `max` or no such file."""
    text = text_of(path).strip()
    return int(text) if text.removeprefix("-").isdigit() else None


def text_of(path: Path) -> str:
    """The text of a file; empty where there is none, or no right to read it: then nothing is known from it."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
