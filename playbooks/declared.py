"""The keys of a playbook, of its parameters and checks, and those that every step may have."""

from __future__ import annotations

from typing import Final

from inventory.errors import Text
from inventory.host import Platform
from playbooks.keys import Form, Key, Type
from playbooks.model import Kind, Maintenance, OnFailure, Parse, Retry, Risk, Tier
from playbooks.params import ParamType
from remote.question import Privilege

MOST_ITEMS: Final = 1000
MOST_ATTEMPTS: Final = 20
LONGEST_S: Final = 24 * 3600

VERIFY: Final = (
    Key(name="checks", says=Text("The checks that are asked again."), type=Type.TEXTS, required=True),
    Key(name="settle", says=Text("How long the host is left alone before."), type=Type.DURATION, maximum=LONGEST_S),
    Key(name="samples", says=Text("How often they are asked; each must say the same."), type=Type.INT, minimum=1, maximum=20),
    Key(name="every", says=Text("Between samples."), type=Type.DURATION, maximum=3600),
    Key(
        name="on_failure",
        says=Text("What follows where a finding is not fixed, or a new one is there: stop, which offers it, or roll_back."),
        type=Type.CHOICE,
        choices=(OnFailure.STOP, OnFailure.ROLL_BACK),
    ),
)
DURATIONS: Final = (
    Key(name="typical", says=Text("How long it mostly takes."), type=Type.DURATION, maximum=LONGEST_S),
    Key(name="at_most", says=Text("After this it is stopped before its next step."), type=Type.DURATION, maximum=LONGEST_S),
)
PLAYBOOK: Final = (
    Key(name="playbook", says=Text("Its name: lower case, words and hyphens, like its file."), required=True),
    Key(name="title", says=Text("What it is called, in every language."), type=Type.LANGUAGES, required=True),
    Key(name="says", says=Text("What it does and what it cannot undo, in every language."), type=Type.LANGUAGES),
    Key(name="kind", says=Text("What it is for."), type=Type.CHOICE, choices=tuple(Kind), required=True),
    Key(
        name="maintenance",
        says=Text("The kind of maintenance that statistics are split by."),
        type=Type.CHOICE,
        choices=tuple(Maintenance),
        required=True,
    ),
    Key(name="tier", says=Text("Who may run it."), type=Type.CHOICE, choices=tuple(Tier), required=True),
    Key(name="risk", says=Text("What it can do to a host; repair and patch say it."), type=Type.CHOICE, choices=tuple(Risk)),
    Key(name="platforms", says=Text("Where it works."), type=Type.TEXTS, required=True),
    Key(name="checks", says=Text("Of a diagnostic: the checks, each with thresholds of its own if need be."), type=Type.CHECKS),
    Key(name="fixes", says=Text("The checks whose findings it claims to fix."), type=Type.TEXTS),
    Key(name="needs", says=Text("The probes whose facts its expressions and templates use."), type=Type.TEXTS),
    Key(
        name="not_while",
        says=Text("The checks whose findings are repaired first: where one explains what this fixes, nothing is done."),
        type=Type.TEXTS,
    ),
    Key(
        name="conflicts",
        says=Text("Playbooks that must not be at work on the host still: none whose end there nobody knows."),
        type=Type.TEXTS,
    ),
    Key(name="durations", says=Text("How long it takes: windows are planned with it."), type=Type.MAPPING, below=DURATIONS),
    Key(name="params", says=Text("Its parameters by name."), type=Type.PARAMS),
    Key(name="steps", says=Text("What it does, in this order."), type=Type.STEPS),
    Key(
        name="verify",
        says=Text("What proves it: checks that are asked again."),
        type=Type.MAPPING,
        below=VERIFY,
        short="checks",
    ),
)
CHECK: Final = (
    Key(name="check", says=Text("The check."), required=True),
    Key(name="thresholds", says=Text("Its thresholds by name."), type=Type.SHAPE),
)
PARAM: Final = (
    Key(name="type", says=Text("What it is."), type=Type.CHOICE, choices=tuple(ParamType), required=True),
    Key(name="default", says=Text("What it is where nobody says it; without one it has to be said."), type=Type.SHAPE),
    Key(name="pattern", says=Text("Of a string: a regular expression that all of it matches.")),
    Key(name="minimum", says=Text("Of an int or a size."), type=Type.SHAPE),
    Key(name="maximum", says=Text("Of an int or a size."), type=Type.SHAPE),
    Key(name="choices", says=Text("Of an enum: what it may be."), type=Type.TEXTS),
    Key(name="says", says=Text("What it is for, in every language."), type=Type.LANGUAGES),
)
REGISTER: Final = (
    Key(name="name", says=Text("Under `results` of the following steps."), type=Type.NAME, required=True),
    Key(
        name="parse",
        says=Text("How stdout is read into `value`; lines and keyvalue have shapes of their own."),
        type=Type.CHOICE,
        choices=tuple(Parse),
    ),
    Key(name="shape", says=Text("The shape of `value` that json or keyvalue give."), type=Type.SHAPE),
)
STEP: Final = (
    Key(name="name", says=Text("What the step does, for people; a text, or one in every language."), type=Type.TITLE),
    Key(name="when", says=Text("Done only where it holds."), form=Form.EXPRESSION, gives=("bool",)),
    Key(name="loop", says=Text("Done for each item of this list; the item is `item`."), form=Form.EXPRESSION, gives=("list",)),
    Key(
        name="at_most",
        says=Text("Items of the loop; more are a failure. 100 where nothing is said."),
        type=Type.INT,
        minimum=1,
        maximum=MOST_ITEMS,
    ),
    Key(
        name="register",
        says=Text("Keeps the result for the following steps."),
        type=Type.MAPPING,
        below=REGISTER,
        short="name",
    ),
    Key(
        name="retry",
        says=Text("Whether it may be done again: freely, as good as once, by its guard, or never."),
        type=Type.CHOICE,
        choices=tuple(Retry),
    ),
    Key(
        name="attempts",
        says=Text("How often it is tried until it succeeds; 1 where nothing is said."),
        type=Type.INT,
        minimum=1,
        maximum=MOST_ATTEMPTS,
    ),
    Key(name="every", says=Text("Between attempts and looks; 5s where nothing is said."), type=Type.DURATION, maximum=3600),
    Key(
        name="until",
        says=Text("Done again until it holds of `result`, at most until the deadline; for what may be repeated."),
        form=Form.EXPRESSION,
        gives=("bool",),
    ),
    Key(name="deadline", says=Text("How long it may take; 60s where nothing is said."), type=Type.DURATION, maximum=LONGEST_S),
    Key(
        name="privilege",
        says=Text("As whom it is done."),
        type=Type.CHOICE,
        choices=(Privilege.USER.value, Privilege.ROOT.value),
    ),
    Key(
        name="on_failure",
        says=Text("What follows where it fails: stop, continue, or roll_back what was done."),
        type=Type.CHOICE,
        choices=tuple(OnFailure),
    ),
    Key(name="rollback", says=Text("Steps that undo it; they are done in reverse order of what was done."), type=Type.STEPS),
)
PLATFORMS: Final = tuple(Platform)
