"""How the demonstration tells its steps: in the user's language, numbered as they are played."""

from rich.console import Console

from yingbi.cli.text import t

__all__ = ["Teller", "say"]


class Teller(Console):
    """A console that counts the steps that it has told."""

    def __init__(self) -> None:
        super().__init__(highlight=False)
        self.steps = 0


def say(teller: Teller, step: str) -> None:
    """Tell that a step begins."""
    teller.steps += 1
    teller.print()
    teller.print(f"{teller.steps}. {t(f'demo.step.{step}')}", style="bold")
