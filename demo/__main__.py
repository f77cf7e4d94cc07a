"""Render films with known truth: ``python -m demo OUT --count 12 --seed 0``."""

from __future__ import annotations

import argparse
from pathlib import Path

from demo.render import render_all
from demo.truth import write_captions, write_truth
from demo.world import ACTION_SETS, plan


def main() -> None:
    """Render films into a folder, write what they show beside them, and name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12, help="clips of one action each")
    parser.add_argument("--films", type=int, default=0, help="long films of several actions")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same films")
    parser.add_argument("--actions", choices=list(ACTION_SETS), default="base", help="which actions are shown")
    parser.add_argument("--workers", type=int, default=None, help="processes; one per CPU unless given")
    arguments = parser.parse_args()
    films = plan(arguments.count, arguments.seed, arguments.films, arguments.actions)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in render_all(films, arguments.folder, arguments.workers):
        print(path)
    print(write_truth(films, arguments.folder))
    print(write_captions(films, arguments.folder))


if __name__ == "__main__":
    main()
