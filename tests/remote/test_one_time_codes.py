"""One-time codes: right by the tables of their RFC, and none twice where it is good once."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from inventory.host import CodeReference, Host, SecretReference
from inventory.secret import Secret
from inventory.secrets.unusable import Unusable
from remote.one_time_codes import Codes, CodeSource, CodeSpent, hotp, source_of
from remote.used_codes import UsedCodes

KEY = base64.b32encode(b"12345678901234567890").decode()
SOURCE = CodeSource(shared=Secret(KEY))
SHARED = CodeReference(secret=SecretReference(kind="env", value="X"))

RFC_6238 = [  # appendix B: seconds, then the codes of SHA1, SHA256, SHA512
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize("row", RFC_6238)
def test_codes_are_those_of_the_rfc(row: tuple[int, str, str, str]) -> None:
    for algorithm, length, code in zip(("SHA1", "SHA256", "SHA512"), (20, 32, 64), row[1:], strict=True):
        key = (b"1234567890" * 7)[:length]
        assert hotp(key, row[0] // 30, digits=8, algorithm=algorithm) == code
        shared = Secret(base64.b32encode(key).decode())
        assert CodeSource(shared=shared, digits=8, algorithm=algorithm).code(row[0] // 30) == code


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.lower(),
        " ".join(KEY[at : at + 4] for at in range(0, 32, 4)),
        f"otpauth://totp/acme:anna?secret={KEY}&issuer=acme&algorithm=SHA1&digits=6&period=30",
    ],
)
def test_a_shared_secret_is_read_as_people_get_it(text: str) -> None:
    assert source_of(SHARED, Secret(text)).code(1) == SOURCE.code(1) == "287082"


def test_an_otpauth_address_says_the_rest_itself() -> None:
    source = source_of(SHARED, Secret(f"otpauth://totp/x?secret={KEY}&algorithm=SHA256&digits=8&period=60"))
    assert (source.algorithm, source.digits, source.period_s) == ("SHA256", 8, 60)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not base32!", "not base32"),
        ("GEZDGNBV", "shorter than 80 bits"),
        (f"otpauth://hotp/x?secret={KEY}", "no otpauth://totp"),
        (f"otpauth://totp/x?secret={KEY}&digits=99", "of 99 digits"),
        (f"otpauth://totp/x?secret={KEY}&digits=six", "a number that is none"),
        (f"otpauth://totp/x?secret={KEY}&algorithm=MD5", "by MD5"),
    ],
)
def test_a_secret_that_gives_no_codes_is_refused_without_being_told(text: str, says: str) -> None:
    with pytest.raises(Unusable) as refused:
        source_of(SHARED, Secret(text))
    assert says in str(refused.value) and KEY not in str(refused.value)


def host(number: int) -> Host:
    return Host(name=f"host{number}", address="192.0.2.1")


async def test_each_code_goes_to_one_host_and_the_next_one_waits() -> None:
    fast = replace(SOURCE, period_s=1)  # a second is half a minute
    codes = Codes(UsedCodes())
    given = await asyncio.gather(*(codes.next(host(number), fast) for number in range(3)))
    assert len(set(given)) == 3
    same = replace(fast, shared=Secret(KEY))  # another credential with the same secret
    assert await codes.next(host(9), same) not in given


async def test_a_code_that_ends_too_soon_is_not_given_out() -> None:
    moments = iter([29.5, 30.1, 30.1])
    codes = Codes(UsedCodes(), now=lambda: next(moments))
    assert await codes.next(host(1), SOURCE) == SOURCE.code(1)


async def test_where_hosts_keep_account_each_gets_each_code_once() -> None:
    clock = [1000.0]
    codes = Codes(UsedCodes(), now=lambda: clock[0])
    own = replace(SOURCE, per_host=True)
    assert {await codes.next(host(number), own) for number in range(50)} == {SOURCE.code(33)}
    waits = asyncio.create_task(codes.next(host(7), own))
    await asyncio.sleep(0)
    assert not waits.done()
    waits.cancel()


async def test_a_typed_code_is_spent_after_one_host_or_goes_once_to_each() -> None:
    typed = CodeSource(typed=Secret("123456"))
    codes = Codes(UsedCodes())
    assert await codes.next(host(1), typed) == "123456"
    with pytest.raises(CodeSpent):
        await codes.next(host(2), typed)
    several = replace(typed, per_host=True)
    codes = Codes(UsedCodes())
    assert [await codes.next(host(number), several) for number in (1, 2)] == ["123456"] * 2
    with pytest.raises(CodeSpent):
        await codes.next(host(1), several)


async def test_at_most_two_logins_wait_for_codes_that_are_good_once() -> None:
    codes, inside, most = Codes(UsedCodes()), 0, 0

    async def login(source: CodeSource | None) -> None:
        nonlocal inside, most
        async with codes.place(source) as place:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            place.leave()
            await asyncio.sleep(0)

    await asyncio.gather(*(login(SOURCE) for _ in range(20)))
    assert most == 2
    most = 0
    await asyncio.gather(*(login(replace(SOURCE, per_host=True)) for _ in range(20)), *(login(None) for _ in range(20)))
    assert most == 40


def test_what_was_used_is_known_to_other_commands_of_the_same_home(tmp_path: Path) -> None:
    file = tmp_path / "home" / "used-codes"
    assert UsedCodes(file).claim(SOURCE.identity, "*", 7, 210.0)
    assert not UsedCodes(file).claim(SOURCE.identity, "*", 7, 215.0)
    assert UsedCodes(file).claim(SOURCE.identity, "web1", 7, 215.0)
    assert UsedCodes(file).claim(SOURCE.identity, "*", 8, 240.0)
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_text()
    assert len(kept.splitlines()) == 3
    assert not [secret for secret in (KEY, SOURCE.code(7), SOURCE.code(8)) if secret in kept]
    assert UsedCodes(file).claim(SOURCE.identity, "*", 99, 9000.0)
    assert len(file.read_text().splitlines()) == 1  # what is old is forgotten


def test_a_code_is_claimed_once_whoever_is_first(tmp_path: Path) -> None:
    file = tmp_path / "used-codes"
    with ThreadPoolExecutor(8) as pool:
        claims = pool.map(lambda number: UsedCodes(file).claim(SOURCE.identity, "*", number % 10, 100.0), range(80))
        assert Counter(claims) == {True: 10, False: 70}


def test_a_file_that_is_damaged_keeps_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "used-codes"
    file.write_bytes(b"\xff rubbish\n\n12 \nnan x 1 *\n")
    assert UsedCodes(file).claim(SOURCE.identity, "*", 1, 100.0)
    assert not UsedCodes(file).claim(SOURCE.identity, "*", 1, 100.0)
