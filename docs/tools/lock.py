"""Check the lock files against pyproject.toml, offline: `python docs/tools/lock.py --check`.

`requirements.lock` holds every extra, `requirements-dev.lock` what development needs, at the same versions.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
ALL: Final = "requirements.lock"
DEV: Final = "requirements-dev.lock"
DEV_EXTRAS: Final = ("hub", "node", "federated", "models", "chain", "dev")
HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
# Options that name an index, and any address: where packages come from is the user's choice, not the lock's.
ADDRESS: Final = re.compile(r"^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links|--trusted-host)\b|://")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock: a version with the digests of its files."""

    version: str
    hashes: tuple[str, ...]


def check(root: Path) -> list[str]:
    """Return what is wrong with the lock files of `root`."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    found: list[str] = []
    locks: dict[str, dict[str, Pin]] = {}
    for name, chosen in ((ALL, tuple(extras)), (DEV, DEV_EXTRAS)):
        text = (root / name).read_text(encoding="utf-8")
        found += [f"{name}:{number}: names an index or address" for number in find_addresses(text)]
        locks[name], problems = parse_lock(text)
        found += [f"{name}: {problem}" for problem in (*problems, *check_hashes(locks[name]))]
        found += [f"{name}: {item}" for item in check_requirements(wanted(project, chosen), locks[name])]
    return found + compare(locks[ALL], locks[DEV])


def wanted(project: Mapping[str, Any], extras: Sequence[str]) -> Iterator[Requirement]:
    """Yield the project's requirements with those extras, and what building it needs."""
    optional = project["project"]["optional-dependencies"]
    lines = [*project["project"]["dependencies"], *(line for extra in extras for line in optional[extra])]
    if "dev" in extras:  # `make setup` builds without isolation
        lines += project["build-system"]["requires"]
    return map(Requirement, lines)


def find_addresses(text: str) -> list[int]:
    """Return the numbers of the lines that name an index or an address."""
    return [number for number, line in enumerate(text.splitlines(), 1) if ADDRESS.search(line)]


def parse_lock(text: str) -> tuple[dict[str, Pin], list[str]]:
    """Parse a lock: pins by name, and what could not be read as one."""
    pins: dict[str, Pin] = {}
    problems: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        head, *hashes = line.partition("#")[0].split("--hash=")
        if not head.strip() or head.lstrip().startswith("-"):
            continue
        pin = _parse_pin(head.strip(), tuple(item.strip() for item in hashes))
        if pin is None:
            problems.append(f"expected `name==version`, got `{head.strip()}`")
        elif pin[0] in pins:
            problems.append(f"`{pin[0]}` is pinned twice")
        else:
            pins[pin[0]] = pin[1]
    return pins, problems


def _parse_pin(text: str, hashes: tuple[str, ...]) -> tuple[str, Pin] | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    versions = [item.version for item in requirement.specifier if item.operator == "==" and "*" not in item.version]
    if len(versions) != 1 or len(requirement.specifier) != 1:
        return None
    return canonicalize_name(requirement.name), Pin(versions[0], hashes)


def check_hashes(pins: Mapping[str, Pin]) -> Iterator[str]:
    """Say which pins have no digest, or one of another form."""
    for name, pin in pins.items():
        if not pin.hashes or not all(HASH.fullmatch(item) for item in pin.hashes):
            yield f"`{name}=={pin.version}` has no SHA-256 digests, or something else in their place"


def check_requirements(requirements: Iterable[Requirement], pins: Mapping[str, Pin]) -> Iterator[str]:
    """Say which requirements of the project a lock does not satisfy."""
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None:
            yield f"`{requirement}` of pyproject.toml is not there"
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"`{requirement}` of pyproject.toml does not take {pin.version}"


def compare(every: Mapping[str, Pin], dev: Mapping[str, Pin]) -> list[str]:
    """Say where the development lock is not a part of the whole one."""
    found = [f"{ALL}: `{name}` of {DEV} is not there" for name in dev if name not in every]
    return found + [
        f"{DEV}: `{name}=={pin.version}`, but {every[name].version} in {ALL}"
        for name, pin in dev.items()
        if name in every and every[name].version != pin.version
    ]


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", required=True, help="the only thing this program does")
    parser.parse_args()
    found = check(ROOT)
    sys.stderr.write("".join(f"{item}\n" for item in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
