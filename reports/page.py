"""The HTML report of a run: one file, no script, nothing fetched, everything that hosts said shown as data."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import jinja2
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from diagnostics.compiled import keep, kept
from diagnostics.verdict import Verdict
from reports import words
from reports.by_hand import terms
from reports.document import content_digest
from reports.language import Language
from reports.repairs import RepairView
from reports.summary import coverage_line, verdict_sentences
from reports.view import FULL, Detail, View
from reports.visible import visible
from runner.outcome import RunKind
from runner.record import RunRecord

TEMPLATES: Final = Path(__file__).parent / "templates"
BUDGET_BYTES: Final = 2 * 1024 * 1024
LEVELS: Final = (
    FULL,
    Detail(quote_lines=4, questions=False),
    Detail(quote_lines=0, questions=False, brief=True),
    Detail(quote_lines=0, questions=False, brief=True, healthy_as_names=True),
)
"""How much is said of each host: the first level that fits the budget is taken, and the page says so."""
SAMPLE: Final = 50
"""So many hosts of a big run tell whether a level can fit: to write 10,000 hosts out in full takes half a minute."""


def html(record: RunRecord, tongue: Language) -> bytes:
    """Return the report as one HTML file of at most 2 MiB, unless even the shortest form is longer."""
    page = b""
    for detail in LEVELS:
        if detail is not LEVELS[-1] and _is_hopeless(record, tongue, detail):
            continue
        page = _written(record, tongue, detail)
        if len(page) <= BUDGET_BYTES:
            break
    return page


def _is_hopeless(record: RunRecord, tongue: Language, detail: Detail) -> bool:
    """Tell whether a level is sure to miss the budget: its first hosts alone say that it takes twice as much."""
    sample = record.hosts[:SAMPLE]
    if len(record.hosts) <= 10 * SAMPLE:
        return False
    empty, some = (len(_written(replace(record, hosts=hosts), tongue, detail)) for hosts in ((), sample))
    return empty + (some - empty) * len(record.hosts) // len(sample) > 2 * BUDGET_BYTES


def _written(record: RunRecord, tongue: Language, detail: Detail) -> bytes:
    return template("run.html.j2", record, tongue, **_names(record, tongue, detail)).encode()


def load_templates() -> None:
    """Load the templates of the page."""
    _environment().get_template("run.html.j2")
    _style_digest()


def template(name: str, record: RunRecord, tongue: Language, **more: object) -> str:
    """Return a page by the template of this name, which knows what every page may use and `more`."""
    return _environment().get_template(name).render(_of_every_page(record, tongue) | more)


def _of_every_page(record: RunRecord, tongue: Language) -> dict[str, object]:
    """Return the names that every template may use."""
    return {
        "run": record,
        "say": tongue.say,
        "plural": tongue.plural,
        "date": tongue.date,
        "duration": cache(tongue.duration),  # hosts that are alike take alike
        "style_digest": _style_digest(),
        "severities": words.SEVERITIES,
        "signs": words.SIGNS,
        "waived_sign": words.WAIVED,
        "report_title": words.REPORTS[record.kind],
    }


def _names(record: RunRecord, tongue: Language, detail: Detail) -> dict[str, object]:
    """Return the names that the template of the internal page may use beside those."""
    return {
        "v": View(record, tongue, detail),
        "size": cache(tongue.bytes),
        "outcomes": words.OUTCOMES,
        "verdicts": words.VERDICTS,
        "root_denied": words.root_denied,
        "as_root": words.as_root,
        "dropped": lambda host: words.connection_dropped(host.session, tongue),
        "diagnosed": record.kind is RunKind.DIAGNOSE or record.repair is not None,
        "r": RepairView(record, tongue) if record.repair is not None else None,
        "terms": [*terms(record, tongue)],
        "subject_title": words.SUBJECTS.get(record.kind, words.REPORTS[record.kind]),
        "not_well": words.NOT_WELL[record.kind],
        "verdict_sentences": verdict_sentences(record, tongue),
        "coverage_line": coverage_line(record, tongue),
        "unknown": Verdict.UNKNOWN,
        "shown_verdicts": (Verdict.CLEAR, Verdict.NOT_APPLICABLE, Verdict.UNKNOWN),
        "digest": content_digest(record),
    }


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        bytecode_cache=_Compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class _Compiled(BytecodeCache):
    """Templates as they were compiled last time, by this jinja2 and with the options of this module."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take over what is kept."""
        if (made := kept(TEMPLATES / bucket.key, bucket.checksum)) is not None:
            bucket.bytecode_from_string(made)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        keep(TEMPLATES / bucket.key, bucket.checksum, bucket.bytecode_to_string())

    def get_cache_key(self, name: str, filename: str | None = None) -> str:  # noqa: ARG002 (the signature is jinja2's)
        """Return the name of the template: all lie in one folder."""
        return name

    def get_source_checksum(self, source: str) -> str:
        """Return a digest of all that the compiled form hangs on."""
        return hashlib.sha256(f"{jinja2.__version__}\0{_own_digest()}\0{source}".encode()).hexdigest()


@cache
def _own_digest() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _shown(value: object) -> object:
    """Make every value that a template prints visible; only what a macro of ours made is markup."""
    if type(value) is str:
        return visible(value)
    return value if isinstance(value, int) or hasattr(value, "__html__") else visible(str(value))


@cache
def _style_digest() -> str:
    """Return the digest by which the page's policy allows its own style and no other."""
    return b64encode(hashlib.sha256(_environment().get_template("run.css").render().encode()).digest()).decode()
