"""The product's modules as syntax trees, for tests that look at all of them."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "Module", "modules"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("yingbi", "policies", "ledger", "sandbox", "federated", "api")


@dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Return its path from the root, for messages."""
        return str(self.path.relative_to(ROOT))

    @property
    def definitions(self) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
        """Return the public classes and functions at its top level."""
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in self.tree.body if isinstance(node, kinds) and not node.name.startswith("_")]

    @property
    def exported(self) -> list[str] | None:
        """Return what `__all__` lists; None without one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
                names: list[str] = ast.literal_eval(node.value)
                return names
        return None

    @property
    def bound(self) -> set[str]:
        """Return the names that are bound at its top level."""
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        names = {node.name for node in self.tree.body if isinstance(node, kinds)}
        for node in self.tree.body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
            if isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.asname or alias.name for alias in node.names}
        if "__getattr__" in names:
            names |= self._bound_for_readers()
        return names

    def _bound_for_readers(self) -> set[str]:
        """Return what a module with `__getattr__` imports for type checkers and gives to whoever asks for it."""
        blocks = [
            node for node in self.tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ]
        imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
        return {alias.asname or alias.name for node in imports for alias in node.names}


@cache
def modules() -> tuple[Module, ...]:
    """Return all modules of the six packages."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return tuple(Module(path, text, ast.parse(text)) for path in paths for text in [path.read_text("utf-8")])
