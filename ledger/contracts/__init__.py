"""The contract that keeps a log's heads on an EVM chain: its source, its compiled form, and how to rebuild it."""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

__all__ = ["ARTEFACT_NAME", "SOURCE_NAME", "ContractArtefact", "load_artefact"]

SOURCE_NAME: Final = "log_anchor.vy"
ARTEFACT_NAME: Final = "log_anchor.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractArtefact:
    """The compiled contract as shipped: what is deployed, and what verifiers pin (docs/spec/anchor.md, "Contract")."""

    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_code_hash: bytes


def load_artefact() -> ContractArtefact:
    """Read the compiled contract that is part of this package."""
    data = json.loads(resources.files(__name__).joinpath(ARTEFACT_NAME).read_text("utf-8"))
    return ContractArtefact(
        abi=data["abi"],
        bytecode=bytes.fromhex(data["bytecode"].removeprefix("0x")),
        runtime_code_hash=bytes.fromhex(data["runtime_code_hash"].removeprefix("0x")),
    )
