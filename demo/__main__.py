"""Render films: ``python -m demo OUT --count 12 --seed 0``."""

from __future__ import annotations

import argparse
from pathlib import Path

from demo.films import plan_films, render


def main() -> None:
    """Render films into a folder, and name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for film in plan_films(arguments.count, arguments.seed):
        print(render(film, arguments.folder))


if __name__ == "__main__":
    main()
