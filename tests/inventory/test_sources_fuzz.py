"""Whatever is in a file: a source knows hosts from it, or says where it is wrong; nothing else ever comes out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.errors import InvalidFile
from inventory.own import load_inventory
from tests.inventory.ansible_corpus import WRITTEN
from tests.inventory.test_sheet import BROKEN as SHEETS
from tests.inventory.test_ssh_config import WRITTEN as SSH_CONFIGS

SHEET_TEXTS = [data if isinstance(data, bytes) else data.encode() for _, data, _, _ in SHEETS]
SEEDS = {
    "ansible: hosts.ini": [text.encode() for files in WRITTEN.values() for text in files.values() if text.isascii()],
    "ansible: hosts.yml": [text.encode() for files in WRITTEN.values() for name, text in files.items() if name.endswith("yml")],
    "ssh_config: config": [text.replace("{dir}", "/nowhere").encode() for text in SSH_CONFIGS.values()],
    "csv: hosts.csv": SHEET_TEXTS,
}
CUTS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 40),
        st.binary(max_size=6)
        | st.sampled_from([b"[", b'"', b"'", b"\\", b":", b"{{", b"=", b"*", b"&a", b"\r", b"\0", b"!vault x"]),
    ),
    max_size=4,
)


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a kind of source with a file of it in which a few places were overwritten."""
    kind = draw(st.sampled_from(sorted(SEEDS)))
    data = draw(st.sampled_from(SEEDS[kind]))
    for at, length, put in draw(CUTS):
        data = data[:at] + put + data[at + length :]
    return kind, data


@settings(max_examples=400)
@given(spoilt())
def test_a_spoilt_file_is_read_or_told_at_its_place(given_: tuple[str, bytes]) -> None:
    (kind, _, name), data = given_[0].partition(": "), given_[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        declared = Path(folder) / "inventory.yaml"
        declared.write_text(f"sources: [{{{kind}: {name}}}]\n")
        try:
            known = load_inventory([declared])
        except InvalidFile as error:
            assert error.problems and all(problem.place.file in (str(path), str(declared)) for problem in error.problems)
        else:
            assert all(host.place and host.place.file == str(path) for host in known.hosts.values())
