"""How the demo speaks: acts, claims that hold or do not, and a last word that decides the exit code."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


class Telling:
    """Prints the story; remembers which claims did not hold."""

    def __init__(self, out: Console | None = None) -> None:
        self._out = out or Console(highlight=False, soft_wrap=True)
        self._acts = 0
        self.claims = 0
        self.broken: list[str] = []

    def title(self, text: str) -> None:
        """Begin."""
        self._out.print(Text(text, style="bold"))

    def act(self, title: str) -> None:
        """Begin a part of the story."""
        self._acts += 1
        self._out.print()
        self._out.print(Text(f"{self._acts}  {title}", style="bold"))

    def say(self, text: str) -> None:
        """Tell something that claims nothing."""
        self._out.print(Text(f"   · {text}", style="dim"))

    def claim(self, text: str, *, holds: bool, found: object = "") -> None:
        """Say whether a claim holds; when not, with what was found instead."""
        self.claims += 1
        if holds:
            self._out.print(Text.assemble(("   ✓ ", "green"), text))
            return
        self.broken.append(text)
        note = f" (found: {found})" if found != "" else ""
        self._out.print(Text.assemble(("   ✗ NOT SO: ", "bold red"), text, note))

    def numbers(self, rows: list[tuple[str, str]]) -> None:
        """Print figures, one a line."""
        self._out.print()
        self._out.print(Text("In numbers", style="bold"))
        width = max(len(figure) for figure, _ in rows)
        for figure, meaning in rows:
            self._out.print(f"   {figure.rjust(width)}  {meaning}", markup=False)

    def close(self) -> int:
        """Say the last word and return the exit code."""
        self._out.print()
        if self.broken:
            self._out.print(Text(f"{len(self.broken)} of {self.claims} claims do not hold.", style="bold red"))
            return 1
        self._out.print(Text(f"All {self.claims} claims hold.", style="bold green"))
        return 0
