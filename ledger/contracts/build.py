"""Rebuild the compiled contract from its source: `python -m ledger.contracts.build [--check]`.

The compiler is a development dependency, pinned to one version, and the compiled form carries nothing of the machine
that made it: whoever runs this gets the same bytes, and the code hash that verifiers pin (docs/spec/anchor.md).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ledger.contracts import ARTEFACT_NAME, SOURCE_NAME

__all__ = ["build_artefact", "main"]

_FOLDER: Final = Path(__file__).parent
_OUTPUTS: Final = ("abi", "bytecode", "bytecode_runtime", "layout")


def build_artefact(source: str) -> str:
    """Compile `source` and return the artefact's JSON text, the same on every machine."""
    import vyper  # type: ignore[import-untyped]
    from vyper.compiler import compile_code  # type: ignore[import-untyped]
    from vyper.utils import keccak256  # type: ignore[import-untyped]

    # The metadata block would repeat the hash of the source, and nothing reads it on the chain.
    output: dict[str, Any] = compile_code(
        source, contract_path=SOURCE_NAME, output_formats=_OUTPUTS, no_bytecode_metadata=True
    )
    runtime = bytes.fromhex(output["bytecode_runtime"].removeprefix("0x"))
    layout = {name: row["slot"] for name, row in output["layout"]["storage_layout"].items()}
    artefact = {
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "compiler": f"vyper {vyper.__long_version__}",
        "name": "LogAnchor",
        "runtime_code_hash": "0x" + keccak256(runtime).hex(),
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "storage_slots": layout,
    }
    return json.dumps(artefact, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str] | None = None, *, folder: Path = _FOLDER) -> int:
    """Write the artefact, or with `--check` compare it; return 0 when what is on disk is what the source gives."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger.contracts.build", description="Rebuild the LogAnchor contract."
    )
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check: bool = parser.parse_args(arguments).check
    target = folder / ARTEFACT_NAME
    text = build_artefact((folder / SOURCE_NAME).read_text("utf-8"))
    if not check:
        target.write_text(text, "utf-8")
        return 0
    if target.is_file() and target.read_text("utf-8") == text:
        return 0
    sys.stderr.write(f"{ARTEFACT_NAME} is not what {SOURCE_NAME} gives; run python -m ledger.contracts.build\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
