"""What reports say of Windows hosts: their findings in both languages, and whose rights were wanted, in their own words."""

from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.check_tests import load_capture
from diagnostics.diagnose import diagnose
from diagnostics.library import load_library
from playbooks.load import shipped_playbooks
from remote.windows.lines import NO_ADMIN
from reports import words
from reports.language import language
from reports.repair_commands import offer_of
from reports.sentences import sentence
from tests.reports.conftest import run

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
HOSTS = sorted(path.stem for path in CAPTURES.glob("win-*.evidence"))
CALM = {"win-11-user", "win-2022-healthy"}
"""Where nothing is found."""


@pytest.mark.parametrize("code", ["en", "ru"])
@pytest.mark.parametrize("host", HOSTS)
def test_every_finding_is_a_sentence(host: str, code: str) -> None:
    """A template that cannot be filled becomes the title with the bare values: `dict` has an `update` of its own."""
    library = load_library()
    evidence, context = load_capture(CAPTURES / host)
    diagnosis = diagnose(evidence, replace(context, library_digest=library.digest), library)
    content = library.content(context.checks)
    for finding in diagnosis.findings:
        said = sentence(finding, content, language(code))
        assert not said.startswith(f"{content.checks[finding.check].title[code]}: "), said
        assert "  " not in said and "{" not in said and "::" not in said, said


@pytest.mark.parametrize(
    ("platform", "denied", "wanted", "had"),
    [
        ("linux", "root was denied: " + NO_ADMIN, "needs root", "as root"),
        ("windows", NO_ADMIN, "needs an administrator", "as an administrator"),
    ],
)
def test_a_platform_has_its_own_words_for_rights(platform: str, denied: str, wanted: str, had: str) -> None:
    english, russian = language("en"), language("ru")
    assert english.say(words.root_denied(NO_ADMIN, platform)) == denied
    for said, expected in ((words.needs_root(platform), wanted), (words.as_root(platform), had)):
        assert english.say(said) == expected
        assert any("а" <= letter <= "я" for letter in russian.say(said))


@pytest.mark.parametrize("host", HOSTS)
def test_a_repair_is_offered_once_its_playbook_exists(host: str) -> None:
    library = load_library()
    evidence, context = load_capture(CAPTURES / host)
    diagnosis = diagnose(evidence, replace(context, library_digest=library.digest), library)
    shipped = {playbook.id for playbook in shipped_playbooks() if "windows" in playbook.platforms}
    assert bool(diagnosis.findings) is (host not in CALM)
    for finding in diagnosis.findings:
        named = finding.remedy is not None and finding.remedy.playbook in shipped
        assert bool(offer_of(run(), finding)) is named
