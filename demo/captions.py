"""Captions of the demo's films, in many wordings, and in other wordings that are kept for tests.

A caption states some of a scene's facts: the action, the shirt's colour, the place. Templates are keyed by the facts that
they state; ``{doing}`` and ``{does}`` stand for the action, ``{wearing}`` for the shirt and ``{there}`` for the place.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping

from demo.world import BACKGROUNDS, SHIRTS

FACTS = ("action", "shirt", "background")
"""The facts that a caption can state, in the order of the templates' keys."""

_SUBJECTS = ("someone", "a person", "somebody", "a figure")

_DOING: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "walking to the left": (
        ("walking to the left", "walking left", "going to the left"),
        ("walks to the left", "goes left"),
    ),
    "walking to the right": (
        ("walking to the right", "walking right", "going to the right"),
        ("walks to the right", "goes right"),
    ),
    "sitting down": (("sitting down", "sitting down on a chair", "taking a seat"), ("sits down", "takes a seat")),
    "standing up": (("standing up", "standing up from a chair", "getting up from a chair"), ("stands up", "gets up")),
    "raising an arm": (("raising an arm", "lifting an arm", "putting a hand up"), ("raises an arm", "lifts an arm")),
    "lowering an arm": (
        ("lowering an arm", "putting a hand down", "taking an arm down"),
        ("lowers an arm", "puts a hand down"),
    ),
    "waving": (("waving", "waving a hand", "waving hello"), ("waves", "waves a hand")),
    "clapping": (("clapping", "clapping hands", "applauding"), ("claps", "claps hands")),
    "jumping": (("jumping", "jumping up and down", "hopping"), ("jumps", "jumps up and down")),
    "kicking a ball": (("kicking a ball", "kicking the ball", "playing football"), ("kicks a ball", "kicks the ball")),
    "throwing a ball": (
        ("throwing a ball", "throwing the ball", "throwing a ball away"),
        ("throws a ball", "throws the ball"),
    ),
    "juggling": (("juggling", "juggling three balls", "juggling balls"), ("juggles", "juggles three balls")),
    "picking up a box": (("picking up a box", "lifting a box", "picking a box up"), ("picks up a box", "lifts a box")),
    "bowing": (("bowing", "taking a bow", "bowing deeply"), ("bows", "takes a bow")),
    "falling down": (("falling down", "falling over", "falling to the ground"), ("falls down", "falls over")),
    "cartwheeling": (("cartwheeling", "doing a cartwheel", "turning a cartwheel"), ("cartwheels", "does a cartwheel")),
    "doing squats": (("doing squats", "squatting"), ("does squats", "squats")),
    "boxing": (("boxing", "throwing punches"), ("boxes", "throws punches")),
    "skipping rope": (("skipping rope", "jumping rope"), ("skips rope", "jumps rope")),
    "dribbling a ball": (("dribbling a ball", "bouncing a ball"), ("dribbles a ball", "bounces a ball")),
    "doing star jumps": (("doing star jumps", "doing jumping jacks"), ("does star jumps", "does jumping jacks")),
}

_WEARING = ("in a {shirt} shirt", "wearing a {shirt} shirt", "dressed in {shirt}", "wearing {shirt}", "in a {shirt} top")

_THERE = {
    "kitchen": ("in the kitchen", "in a kitchen", "inside a kitchen"),
    "beach": ("at the beach", "on the beach", "on a beach"),
    "forest": ("in the forest", "in a forest", "among the trees"),
    "street": ("on the street", "in the street", "on a street"),
    "gym": ("in the gym", "in a gym", "inside a gym"),
}

_TEMPLATES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("action",): (
        "{who} {doing}",
        "{who} is {doing}",
        "{who} {does}",
        "a video of {who} {doing}",
        "{doing}",
        "here {who} is {doing}",
        "the person is {doing}",
    ),
    ("shirt",): (
        "{who} {wearing}",
        "{who} is {wearing}",
        "a video of {who} {wearing}",
        "the shirt is {shirt}",
        "a {shirt} shirt",
        "here {who} is {wearing}",
        "the person is {wearing}",
    ),
    ("background",): (
        "{who} {there}",
        "{who} is {there}",
        "a video of {who} {there}",
        "a video {there}",
        "this is {there}",
        "{there}",
        "here {who} is {there}",
    ),
    ("action", "shirt"): (
        "{who} {wearing} {doing}",
        "{who} {wearing} is {doing}",
        "{who} {wearing} {does}",
        "{who} {doing}, {wearing}",
        "a video of {who} {wearing} {doing}",
        "here {who} {wearing} {does}",
    ),
    ("action", "background"): (
        "{who} {doing} {there}",
        "{who} is {doing} {there}",
        "{who} {does} {there}",
        "a video of {who} {doing} {there}",
        "{there} {who} is {doing}",
        "here {who} {does} {there}",
    ),
    ("shirt", "background"): (
        "{who} {wearing} {there}",
        "{who} {wearing} is {there}",
        "a video of {who} {wearing} {there}",
        "{there} {who} is {wearing}",
        "{who} {there}, {wearing}",
        "here {who} is {wearing} {there}",
    ),
    ("action", "shirt", "background"): (
        "{who} {wearing} {doing} {there}",
        "{who} {wearing} is {doing} {there}",
        "{who} {wearing} {does} {there}",
        "a video of {who} {wearing} {doing} {there}",
        "{there} {who} {wearing} {does}",
        "{who} {doing} {there}, {wearing}",
        "{who} {there} {wearing} is {doing}",
    ),
}

UNSEEN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("action",): ("this person {does}", "the video is of {who} {doing}", "here is {who} {doing}"),
    ("shirt",): ("a person {wearing} is here", "here is {who} {wearing}", "the {shirt} shirt"),
    ("background",): ("{there} is {who}", "here is a video {there}", "the video is {there}"),
    ("action", "shirt"): ("{doing}, {who} {wearing}", "{wearing}, {who} {does}", "a {shirt} person {doing}"),
    ("action", "background"): ("{there} is {who} {doing}", "{doing} {there}", "a video {there}, {who} {does}"),
    ("shirt", "background"): ("{there} is {who} {wearing}", "{wearing}, {who} is {there}", "a {shirt} shirt {there}"),
    ("action", "shirt", "background"): (
        "{there} is {who} {doing}, {wearing}",
        "{wearing}, {who} {does} {there}",
        "{doing} {there} is {who} {wearing}",
        "a {shirt} person is {doing} {there}",
    ),
}
"""Templates of the same words that are never used for training, to test whether a model understands new wordings."""


def caption(facts: Mapping[str, str], rng: random.Random, *, unseen: bool = False) -> str:
    """A random wording that says ``facts`` and nothing else.

    Args:
        facts: some of ``action``, ``shirt`` and ``background``, at least one.
        rng: chooses.
        unseen: whether to choose among the sentences kept for tests.
    """
    template = rng.choice(templates(facts, unseen=unseen))
    choices = {name: rng.choice(values) for name, values in _slots(facts).items()}
    return template.format(**{name: value.format(**facts) for name, value in choices.items()})


def templates(facts: Mapping[str, str], *, unseen: bool = False) -> tuple[str, ...]:
    """The sentences that say just these facts."""
    return (UNSEEN if unseen else _TEMPLATES)[tuple(name for name in FACTS if name in facts)]


def wordings(facts: Mapping[str, str], *, unseen: bool = False) -> Iterator[str]:
    """Every caption that can be given for ``facts``."""
    slots = _slots(facts)
    for template in templates(facts, unseen=unseen):
        names = [name for name in slots if f"{{{name}}}" in template]
        for values in itertools.product(*(slots[name] for name in names)):
            yield template.format(**{name: value.format(**facts) for name, value in zip(names, values, strict=True)})


def words() -> list[str]:
    """Every word of every wording, seen and unseen, in lower case and sorted."""
    texts = [text for group in (_TEMPLATES, UNSEEN) for sentences in group.values() for text in sentences]
    texts += [text for forms in _DOING.values() for form in forms for text in form]
    texts += [*_SUBJECTS, *_WEARING, *SHIRTS, *(text for places in _THERE.values() for text in places)]
    texts += [text for action in _DOING for text in prompts(action)]
    texts += [
        text
        for kind, values in (("shirt", SHIRTS), ("background", BACKGROUNDS))
        for v in values
        for text in attribute_prompts(kind, v)
    ]
    return sorted({word for text in texts for word in split(re.sub(r"\{\w+\}", " ", text))})


def split(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z]+", text.lower())


def prompts(action: str) -> list[str]:
    """Plain sentences that stand for an action, for classifying without training."""
    phrase = _DOING[action][0][0]
    return [f"someone {phrase}", f"a person is {phrase}", f"a video of somebody {phrase}"]


def attribute_prompts(kind: str, value: str) -> list[str]:
    """The same for a shirt's colour (``kind`` is ``shirt``) or a place (``background``)."""
    phrase = f"in a {value} shirt" if kind == "shirt" else _THERE[value][0]
    return [f"someone {phrase}", f"a person is {phrase}", f"a video of somebody {phrase}"]


def _slots(facts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    slots: dict[str, tuple[str, ...]] = {"who": _SUBJECTS}
    if "action" in facts:
        slots["doing"], slots["does"] = _DOING[facts["action"]]
    if "shirt" in facts:
        slots["wearing"], slots["shirt"] = _WEARING, (facts["shirt"],)
    if "background" in facts:
        slots["there"] = _THERE[facts["background"]]
    return slots
