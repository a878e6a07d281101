"""Reads the steps of a playbook: one action each, everything that it names declared before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from diagnostics.library import Library
from diagnostics.shapes import ANY, Shape, type_of
from inventory.documents import MapNode, Node, ScalarNode, Style
from inventory.errors import Problem, Text
from inventory.fields import Fields, did_you_mean
from inventory.host import Platform
from playbooks.actions import ACTIONS
from playbooks.actions.row import RESULT, Action
from playbooks.beside import Beside, NotBeside
from playbooks.declared import STEP
from playbooks.keys import Form, Key, Script, Type
from playbooks.model import OnFailure, Parse, Playbook, Register, Retry, Step
from playbooks.param_files import read_param
from playbooks.params import TYPES, ParamType
from playbooks.reading import KeyReader, Names
from remote.question import Privilege

MOST_STEPS: Final = 500
NOT_UNDOING: Final = frozenset(("include", "loop", "on_failure", "register", "rollback"))
REPEATABLE: Final = (Retry.READ, Retry.IDEMPOTENT, Retry.GUARDED)
HOST: Final[Mapping[str, Shape]] = {
    "name": "str",
    "platform": "str",
    "site": "str?",
    "customer": "str?",
    "tags": ["str"],
    "groups": ["str"],
}
"""What `host` is in expressions and templates."""
LINES: Final[Shape] = ["str"]
KEYVALUE: Final[Shape] = {"*": "str"}


@dataclass(slots=True, kw_only=True)
class StepReader:
    """Reads the steps of one playbook."""

    problems: list[Problem]
    platforms: Sequence[str]
    needs: Sequence[str]
    library: Library | None
    beside: Beside
    find: Callable[[str, Node], Playbook | None]
    """Returns the playbook that an `include` names, having noted why there is none."""
    count: int = 0
    registered: dict[str, Shape] = field(default_factory=dict)

    def read_steps(self, fields: Fields, key: str, names: Names) -> tuple[Step, ...]:
        """Return the steps of a list; what one registers, those after it may name."""
        steps = []
        for node in fields.items(key):
            if self.count == MOST_STEPS:
                fields.problem(node.place, Text("more than {limit} steps", limit=MOST_STEPS), Text("include other playbooks"))
                break
            self.count += 1
            if key == "rollback":
                self.plain(node)
            step = self.step(node, names.also(results=dict(self.registered)))
            if step is not None:
                steps.append(step)
        return tuple(steps)

    def plain(self, node: Node) -> None:
        """Note what a step that undoes another one may not have: it is done once, and whoever reads it sees all of it."""
        for key, _ in node.entries if isinstance(node, MapNode) else ():
            if key.text in NOT_UNDOING:
                text = Text("a step that undoes another has no “{key}”", key=key.text)
                self.problems.append(Problem(place=key.place, text=text))

    def step(self, node: Node, names: Names) -> Step | None:
        """Return one step, None where nobody can say what it does."""
        before = len(self.problems)
        fields = Fields(node, self.problems, Text("a step"))
        action = self.action(fields)
        if action is None:
            self.register_anyway(fields)
            return None
        allowed = [key for key in STEP if key.name not in action.without]
        reader = KeyReader(self.problems)
        loop = [key for key in allowed if key.name == "loop"]
        common = reader.read_all(loop, fields, names)
        if "loop" in common:
            over = common["loop"].shape
            names = names.also(item=over[0] if type_of(over) == "list" and not isinstance(over, str) else ANY)
        values, inner = self.values(action, fields, names)
        register = self.register(action, reader, allowed, fields, names, inner)
        result = self.result(action, register, values, inner)
        late = names.also(result=result)
        common |= reader.read_all((key for key in allowed if key.name not in ("loop", "until", "register")), fields, names)
        common |= reader.read_all((key for key in allowed if key.name == "until"), fields, late)
        values |= reader.read_all((key for key in action.beside if key.name == "changed"), fields, late)
        rollback: tuple[Step, ...] = ()
        if "rollback" not in action.without:
            rollback = self.read_steps(fields, "rollback", names.also(result=result))
        if len(self.problems) == before:
            self.settle(action, fields, values, common)
        fields.done()
        if register:
            self.register_result(register, fields, {"items": [result], "changed": "bool"} if "loop" in common else result)
        if len(self.problems) > before:
            return None
        return _step(action, values, common, register, rollback, node)

    def action(self, fields: Fields) -> Action | None:
        """Return the action that a step names, having noted what is wrong where it names none or several."""
        named = [key for key in fields.keys() if key in ACTIONS]  # noqa: SIM118 Fields is no mapping
        known = {*ACTIONS, *(key.name for key in STEP)}
        if len(named) == 1:
            return ACTIONS[named[0]]
        if named:
            text = Text("a step has one action, not {names}", names=" and ".join(named))
            fields.problem(fields.key_place(named[1]), text, Text("write a step for each"))
            return None
        strange = [key for key in fields.keys() if key not in known]  # noqa: SIM118
        hint = next((hint for key in strange if (hint := did_you_mean(key, ACTIONS))), None)
        place = fields.key_place(strange[0]) if strange else fields.place()
        fields.problem(place, Text("a step needs an action"), hint or Text("one of {choices}", choices=", ".join(ACTIONS)))
        return None

    def values(self, action: Action, fields: Fields, names: Names) -> tuple[dict[str, Any], Playbook | None]:
        """Return the values of an action's own keys, and the playbook that it includes."""
        reader = KeyReader(self.problems)
        for platform in self.platforms:
            if platform in list(Platform) and platform not in action.platforms:
                text = Text("“{action}” does not work on {platform}", action=action.name, platform=platform)
                fields.problem(fields.key_place(action.name), text)
        main = action.main
        read = reader.read_all((main,), fields, names)
        values = dict(read[main.name]) if main.type is Type.MAPPING and main.name in read else read
        if main.type is Type.MAPPING and main.name not in read:
            fields.has(main.name)
        values |= reader.read_all((key for key in action.beside if key.name != "changed"), fields, names)
        inner = None
        mapping = fields.fields(main.name) if isinstance(fields.node(main.name), MapNode) else None
        if mapping is not None:
            self.answer(action, mapping, values)
            self.sources(action, mapping, values, names)
        if action.name == "include":
            inner = self.included(fields, values)
        elif action.name == "probe":
            self.probed(fields, values)
        elif action.on_controller:
            self.on_controller(fields, values)
        return values, inner

    def answer(self, action: Action, mapping: Fields, values: dict[str, Any]) -> None:
        """Read the type of an operator's answer."""
        node = mapping.node("answer") if any(key.type is Type.PARAM for key in action.main.below) else None
        if node is None:
            return
        answer = read_param("answer", node, self.problems)
        if answer is not None and answer.type is ParamType.SECRET:
            mapping.problem(node.place, Text("a secret is a parameter, not an answer"))
        values["answer"] = answer

    def sources(self, action: Action, mapping: Fields, values: dict[str, Any], names: Names) -> None:
        """Take the file that `source` names: bytes for `file`, a template for `template`."""
        source = values.get("source")
        if source is None:
            return
        place = mapping.place("source")
        try:
            data = self.beside.read(source)
        except NotBeside as error:
            mapping.problem(place, error.text, error.hint)
            return
        content = next(key for key in action.main.below if key.name == "content")
        if content.form is Form.TEMPLATE:
            text = data.decode("utf-8", "replace")
            template = KeyReader(self.problems).one(content, ScalarNode(place, text, Style.LITERAL, text), names)
            if template is not None and values.get("content") is None:
                values["content"] = template
                del values["source"]
        else:
            values["data"] = data

    def included(self, fields: Fields, values: dict[str, Any]) -> Playbook | None:
        """Return the playbook of an `include`, its parameters verified."""
        name = values.get("playbook")
        node = fields.node("include")
        inside = fields.fields("include").node("playbook") if isinstance(node, MapNode) else node
        if name is None or inside is None:
            return None
        playbook = self.find(name, inside)
        values["playbook"] = playbook
        if playbook is None:
            return None
        given = values.get("params", {})
        below = fields.fields("include").fields("params") if isinstance(node, MapNode) else None
        for one, expression in given.items():
            param = playbook.params.get(one)
            if param is None:
                hint = did_you_mean(one, playbook.params)
                text = Text("“{playbook}” has no parameter “{name}”", playbook=name, name=one)
                self.problems.append(Problem(place=below.key_place(one) if below else inside.place, text=text, hint=hint))
            elif not _goes_with(expression.shape, param.type):
                text = Text("the parameter “{name}” is of the type {kind}", name=one, kind=param.type.value)
                self.problems.append(Problem(place=expression.place, text=text, hint=TYPES[param.type].says))
        for param in playbook.params.values():
            if param.required and param.name not in given:
                text = Text("“{playbook}” needs the parameter “{name}”", playbook=name, name=param.name)
                self.problems.append(Problem(place=inside.place, text=text))
        for need in playbook.needs:
            if need not in self.needs:
                text = Text("“{playbook}” needs the probe “{name}”: name it under needs too", playbook=name, name=need)
                self.problems.append(Problem(place=inside.place, text=text))
        return playbook

    def probed(self, fields: Fields, values: dict[str, Any]) -> None:
        """Note a probe that the playbook does not name under `needs`."""
        name = values.get("probe")
        if name is not None and name not in self.needs:
            hint = did_you_mean(name, self.needs) or Text("needs: [{name}]", name=name)
            fields.problem(fields.place("probe"), Text("the probe “{name}” is not among the playbook's needs", name=name), hint)

    def on_controller(self, fields: Fields, values: dict[str, Any]) -> None:
        """Take what runs on this machine into the playbook's digest."""
        named = values.get("python")
        place = fields.place("python" if named is not None else "ansible")
        try:
            if isinstance(named, str):
                values["code"] = self.beside.read(named.partition(":")[0])
            if values.get("playbook"):
                values["code"] = self.beside.take_playbook_of_ansible(values["playbook"])
            if values.get("role"):
                self.beside.take_role_of_ansible(values["role"])
            if named is None:  # Ansible reads the rest itself
                values["folder"] = self.beside.root()
        except NotBeside as error:
            fields.problem(place, error.text, error.hint)

    def register(
        self,
        action: Action,
        reader: KeyReader,
        allowed: Sequence[Key],
        fields: Fields,
        names: Names,
        inner: Playbook | None,
    ) -> Register | None:
        """Return under which name a step's result is kept."""
        read = reader.read_all((key for key in allowed if key.name == "register"), fields, names).get("register")
        if not read or inner is not None or "name" not in read:
            self.register_anyway(fields)
            return None
        parse, shape = read.get("parse"), read.get("shape")
        place = fields.place("register")
        if parse == Parse.JSON and shape is None:
            fields.problem(place, Text("json needs the shape of what it gives"), Text("shape: {free_bytes: int}"))
        if shape is not None and parse not in (Parse.JSON, Parse.KEYVALUE) and not action.returns:
            fields.problem(place, Text("a shape goes with parse: json or keyvalue"))
        if parse is not None and action.returns:
            text = Text("what “{action}” gives is not read from what it prints", action=action.name)
            fields.problem(place, text, Text("leave “parse” out; “shape” says what it returns"))
        return Register(name=read["name"], parse=Parse(parse) if parse else None, shape=shape)

    def result(self, action: Action, register: Register | None, values: Mapping[str, Any], inner: Playbook | None) -> Shape:
        """Return the shape of a step's result."""
        shape: dict[str, Shape] = {**RESULT, **action.gives}
        if action.returns and register is not None and register.shape is not None:
            shape["value"] = register.shape
        if action.name == "ask" and values.get("answer") is not None:
            shape["answer"] = TYPES[values["answer"].type].shape
        if inner is None and register is not None and register.parse is not None:
            fixed = {Parse.TEXT: "str", Parse.LINES: LINES, Parse.KEYVALUE: KEYVALUE}
            shape["value"] = register.shape if register.shape is not None else fixed.get(register.parse, ANY)
        return shape

    def register_result(self, register: Register, fields: Fields, shape: Shape) -> None:
        """Keep a result's shape for the steps that follow."""
        if register.name in self.registered:
            text = Text("there is a result “{name}” already", name=register.name)
            fields.problem(fields.place("register"), text, Text("choose another one"))
        self.registered[register.name] = shape

    def register_anyway(self, fields: Fields) -> None:
        """Keep the name of a result that nobody can tell the shape of: one mistake is told once."""
        node = fields.node("register")
        named = node.get("name") if isinstance(node, MapNode) else node
        if isinstance(named, ScalarNode):
            self.registered[named.text] = ANY

    def settle(self, action: Action, fields: Fields, values: Mapping[str, Any], common: Mapping[str, Any]) -> None:
        """Note what contradicts itself between the keys of a step."""
        for key, text, hint in action.mistakes(values):
            below = fields.fields(action.name) if isinstance(fields.node(action.name), MapNode) else None
            place = below.place(key) if below is not None and below.has(key) else fields.place(key)
            self.problems.append(
                Problem(place=place if fields.has(key) or below else fields.place(action.name), text=text, hint=hint)
            )
        retry = Retry(common.get("retry", action.retries[0]))
        if retry not in action.retries:
            hint = Text("one of {choices}", choices=", ".join(action.retries))
            fields.problem(fields.place("retry"), Text("“{action}” cannot be {retry}", action=action.name, retry=retry), hint)
        if retry is Retry.GUARDED and values.get("unless") is None and values.get("creates") is None:
            hint = Text("unless: a script that exits with 0 where it is done")
            fields.problem(fields.place("retry"), Text("a guarded step needs “unless” or “creates”"), hint)
        for key in ("attempts", "until"):
            if key in common and common[key] != 1 and retry not in REPEATABLE:
                hint = Text("retry: idempotent, if twice is as good as once")
                fields.problem(fields.key_place(key), Text("what is never repeated has no “{key}”", key=key), hint)
        if action.stops and common.get("on_failure") == OnFailure.CONTINUE:
            text = Text("where “{action}” fails nothing may follow", action=action.name)
            fields.problem(fields.place("on_failure"), text, Text("on_failure: stop"))
        if "at_most" in common and "loop" not in common and not fields.has("loop"):
            fields.problem(fields.key_place("at_most"), Text("“at_most” goes with a loop"))


def _goes_with(shape: Shape, kind: ParamType) -> bool:
    wanted, given = type_of(TYPES[kind].shape or ANY), type_of(shape)
    if kind is ParamType.SECRET:
        return False
    return (
        given in (wanted, ANY) or (kind is ParamType.SIZE and given == "int") or (wanted == "str" and given in ("int", "float"))
    )


def _step(
    action: Action,
    values: Mapping[str, Any],
    common: Mapping[str, Any],
    register: Register | None,
    rollback: tuple[Step, ...],
    node: Node,
) -> Step:
    called = common.get("name") or action.name
    titles = called if isinstance(called, Mapping) else {}
    return Step(
        name=titles["en"] if titles else called,
        titles=titles,
        action=action.name,
        values=values,
        when=common.get("when"),
        loop=common.get("loop"),
        at_most=common.get("at_most", 100),
        register=register,
        retry=Retry(common.get("retry", action.retries[0])),
        attempts=common.get("attempts", 1),
        every_s=common.get("every", 5.0),
        until=common.get("until"),
        deadline_s=common.get("deadline", action.deadline_s),
        privilege=Privilege(common.get("privilege", action.privilege)),
        on_failure=OnFailure(common.get("on_failure", OnFailure.STOP.value)),
        rollback=rollback,
        place=node.place,
    )


def scripts_of(step: Step) -> dict[str, Script]:
    """Return the scripts of a step by key."""
    return {key: value for key, value in step.values.items() if isinstance(value, Script)}
