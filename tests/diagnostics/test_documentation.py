"""docs/checks.md: its examples load, so that what people copy from it works."""

from pathlib import Path

from diagnostics.cause_files import read_causes
from diagnostics.check_files import read_check
from diagnostics.functions import CONSTANTS, FUNCTIONS
from diagnostics.library import Library
from diagnostics.parsing import numbered
from diagnostics.probe import Probe
from diagnostics.probe_files import read_probes
from inventory.documents import parse_document
from remote.question import Question

TEXT = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
CHECK, PROBES, CAUSES = (part.partition("```")[0] for part in TEXT.split("```yaml\n")[1:])
MOUNT = {"mount": "str", "type": "str", "used_percent": "float", "available_bytes": "int", "failed_at_s": "int?", "at": "at"}


def probe(name: str, shape: dict[str, object]) -> Probe:
    return Probe(question=Question(id=name, script="x"), parse=lambda _: {}, shape=shape)


def test_the_examples_load() -> None:
    probes = {"fs.stat": probe("fs.stat", {"mounts": [MOUNT]}), "sys.id": probe("sys.id", {"container": "bool"})}
    text = CHECK.replace("needs: [fs.stat]", "needs: [fs.stat, sys.id]")
    check = read_check(parse_document(text.encode(), "check.yaml"), probes)
    assert [level.severity.value for level in check.levels] == ["critical", "warning"]
    assert [one.id for one in read_probes(parse_document(PROBES.encode(), "probes.yaml"))] == ["app.release"]

    failed = CHECK.replace("fs-space", "svc-failed").replace("{mount: item.mount}", "{unit: item.mount}")
    failed = failed.replace("params: {used_percent", 'params: {path: item.mount, no_space: "true", used_percent')
    failed = failed.replace("subject.mount", "subject.unit").replace("needs: [fs.stat]", "needs: [fs.stat, sys.id]")
    other = read_check(parse_document(failed.encode(), "check.yaml"), probes)
    library = Library(probes=probes, checks={check.id: check, other.id: other})
    (rule,) = read_causes(parse_document(CAUSES.encode(), "causes.yaml"), library.checks, probes)
    assert (rule.weight, rule.boost_weight, rule.by_events) == (0.5, 0.9, True)


def test_every_function_and_constant_is_documented() -> None:
    rows = [line.text for line in numbered(TEXT.encode()) if line.text.startswith("| `")]
    assert not [name for name in FUNCTIONS if not any(f"{name}(" in row for row in rows)]
    assert not [name for name in CONSTANTS if name not in TEXT]
