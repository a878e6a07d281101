"""Everything that longarm says can be said in every language: the program's own words and its content's."""

from string import Formatter

import pytest

from diagnostics.library import load_library
from playbooks.load import shipped_playbooks
from reports.catalogue import in_line, read_catalogue, sentences
from reports.language import LANGUAGES, language
from reports.sentences import compiled
from tests.parsed import nothing_collected

FOREIGN = LANGUAGES[1:]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_every_sentence_is_a_literal() -> None:
    with nothing_collected():
        apart = sentences()[1]
    assert not apart, "put together at run time: no catalogue can hold it"


@pytest.mark.parametrize("code", FOREIGN)
def test_no_sentence_waits_for_a_translator(code: str) -> None:
    assert not in_line(code)[1], "python -m reports.catalogue adds them to the catalogue"


@pytest.mark.parametrize("code", FOREIGN)
def test_no_translation_is_left_over(code: str) -> None:
    used = {sentence.one for sentence in sentences()[0]}
    assert not [entry.id for entry in read_catalogue(code) if entry.id and first(entry.id) not in used]


@pytest.mark.parametrize("code", FOREIGN)
def test_translations_fill_in_the_same_fields(code: str) -> None:
    for entry in read_catalogue(code):
        for said in entry.string if isinstance(entry.string, (tuple, list)) else (entry.string,):
            if entry.id:
                assert fields(said or "") == fields(first(entry.id)), entry.id


def first(ident: object) -> str:
    return str(ident[0] if isinstance(ident, (tuple, list)) else ident)


@pytest.mark.parametrize("code", LANGUAGES)
def test_checks_and_causes_have_words(code: str) -> None:
    library = load_library()
    content = library.content(tuple(library.checks))
    for check, words in content.checks.items():
        assert words.title.get(code) and words.finding.get(code), check
        assert not words.cause or words.cause.get(code), check
        compiled(words.finding[code], code)
    for rule, why in content.rules.items():
        assert why.get(code), rule


@pytest.mark.parametrize("code", LANGUAGES)
def test_playbooks_have_titles(code: str) -> None:
    for playbook in shipped_playbooks():
        assert playbook.title.get(code), playbook.id


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_is_complete_enough_to_be_offered(code: str) -> None:
    assert language(code).say("ok")
