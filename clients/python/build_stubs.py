"""Makes the message classes of the contract when the package is built: optistore/v1."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("errors", "problem", "rows", "result", "storage_service")


def generate(proto: Path, into: Path) -> None:
    """Runs protoc on the contract. Calls are made without generated stubs: see optistore/_calls.py."""
    from grpc_tools import protoc

    into.mkdir(parents=True, exist_ok=True)
    files = [str(proto / "optistore" / "v1" / f"{name}.proto") for name in FILES]
    known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{proto}", f"-I{known}", f"--python_out={into}", f"--pyi_out={into}", *files]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed")
    (into / "optistore" / "v1" / "__init__.py").write_text('"""The contract\'s messages, made by protoc."""\n')


class StubsHook(BuildHookInterface[Any]):
    """A checkout has the contract in proto/; what is packed has the classes already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatch before it packs."""
        here = Path(self.root)
        proto = here.parent.parent / "proto"
        if (proto / "optistore").is_dir():
            generate(proto, here)


if __name__ == "__main__":
    generate(Path(sys.argv[1]), Path(sys.argv[2]))
