"""optistore for asyncio.

Example:
    >>> import optistore
    >>> from optistore import aio
    >>> async def main() -> None:
    ...     async with aio.connect() as client:
    ...         async with client.save("runs/2", [optistore.design_variable("x"), optistore.objective("f")]) as run:
    ...             await run.append({"x": [0.5, 0.25], "f": [1.0, 2.0]})
    ...         print((await client.load("runs/2"))["f"].min())
"""

from .client import Client, Follower, connect
from .writer import Writer

__all__ = ["Client", "Follower", "Writer", "connect"]
