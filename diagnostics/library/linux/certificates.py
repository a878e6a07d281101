"""Certificates in the files of the usual services: their public part comes back and is read here, no openssl is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diagnostics.parsing import ASKING, AWK, Line, Source, at, read_sources, unseen
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, Redaction
from remote.answer import Answer
from remote.question import Privilege, Question

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

_SCRIPT = (
    ASKING
    + AWK
    + "nl='\n'\n"
    + r"""
# what the servers' own files name, without variables and comments
named() {
  sed -n 's/[[:space:]]*$//
s/^[[:space:]]*ssl_certificate[[:space:]]*["'\'']\{0,1\}\(\/[^;"'\''$]*[^;"'\''$[:space:]]\)[[:space:]]*\([;"'\''].*\)\{0,1\}$/\1/p
s/^[[:space:]]*SSLCertificateFile[[:space:]]*["'\'']\{0,1\}\(\/[^"'\''$]*\)["'\'']\{0,1\}$/\1/p
s/^smtpd_tls_cert_file[[:space:]]*=[[:space:]]*\(\/[^[:space:]$]*\)$/\1/p
s/^[[:space:]]*ssl_cert[[:space:]]*=[[:space:]]*<\(\/[^[:space:]$]*\)$/\1/p' "$@"
}
# the first certificate of each file; at whatever else begins (a key) the file is left
# shellcheck disable=SC2016 # a program of awk
first='FNR == 1 { open = 0; done = 0 }
  done { next }
  /-----BEGIN / && open { done = 1; next }
  /-----BEGIN CERTIFICATE-----/ { open = 1; print "file " FILENAME }
  open { print }
  /-----END CERTIFICATE-----/ { done = 1 }'
# what lies in a folder is a server's only by its name, and not where it is so large that it holds authorities
first_ones() {
  find -L "$@" -xdev -type f '(' -name '*.pem' -o -name '*.crt' -o -name '*.cer' ')' -size -64k -exec "$awk" "$first" {} +
}
# whether a file is not there for certain: a link that leads nowhere may lead to where one may not look
gone() {
  way=$1
  while [ ! -e "$way" ] && [ ! -L "$way" ]; do
    way=${way%/*}
    [ ! -d "${way:-/}" ] || { [ -x "${way:-/}" ]; return; }
  done
  [ ! -L "$way" ] && [ "$way" != "$1" ]
}
# a file that a server is configured with counts whatever it is called and however large; awk would end at one that is not there
named_ones() {
  met=$nl IFS=$nl missing=
  set --
  for file in $configured; do
    case $met in *"$nl$file$nl"*) continue ;; esac
    met=$met$file$nl
    if [ -f "$file" ] && [ -r "$file" ]; then set -- "$@" "$file"
    elif gone "$file"; then missing=$missing$file$nl
    fi
  done
  unset IFS
  [ "$#" = 0 ] || "$awk" "$first" "$@"
}
set --
for file in /etc/nginx/nginx.conf /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/* /etc/apache2/sites-enabled/* \
  /etc/httpd/conf.d/*.conf /etc/postfix/main.cf /etc/dovecot/conf.d/10-ssl.conf; do
  [ ! -f "$file" ] || set -- "$@" "$file"
done
configured=
if [ "$#" = 0 ]; then absent configured 'a configuration of nginx, Apache, Postfix or Dovecot'
else
  configured=$(named "$@"); ended=$?
  say() { [ -z "$configured" ] || printf '%s\n' "$configured"; return "$ended"; }
  ask configured say
fi
set -f
if [ "$configured" ]; then
  ask named named_ones
  [ -z "$missing" ] || ask missing printf %s "$missing"
fi
set +f
holds() { # whether anything is in a folder, or it may not be looked into
  { [ -r "$1" ] && [ -x "$1" ]; } || return 0
  for entry in "$1"/* "$1"/.[!.]*; do
    if [ -e "$entry" ] || [ -L "$entry" ]; then return 0; fi
  done
  return 1
}
set --
for folder in /etc/ssl/private /etc/ssl/localcerts /etc/letsencrypt/live /etc/pki/tls/certs /etc/pki/tls/private \
  /etc/nginx /etc/apache2 /etc/httpd /etc/postfix /etc/dovecot /etc/haproxy; do
  if [ -d "$folder" ] && holds "$folder"; then set -- "$@" "$folder"; fi
done
if [ "$#" = 0 ]; then absent certificates 'anything where services keep certificates'
else ask certificates first_ones "$@"
fi
"""
)
_PRIVATE = re.compile(rb"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)")


def parse_certificates(answer: Answer) -> Facts:
    """Return the first certificate of each file, each once: for which name, until when (seconds since 1970 UTC).

    `configured`: a server's own file names it. `path` is the file that is named, or the first one found; a chain and its
    leaf in two files are one. In folders only files are looked at that are called as certificates are and are smaller than
    64 KiB; what a server's own file names is looked at whatever it is, and `unseen` where it cannot be read or holds none;
    one that is not there (mod_ssl names one that httpd makes as it first starts) is no item: it does not expire.
    Raises NothingThere where no file holds a certificate.
    """
    sources = read_sources("sec.certs", answer)
    configured = sources["configured"]
    named = {} if configured.status is None else {line.text.strip(): line.number for line in configured.usable().lines}
    in_folders = sources["certificates"]
    looked_at = [in_folders.usable()] if in_folders.status is not None else []
    looked_at += [sources["named"].usable()] if "named" in sources else []
    missing = {line.text for line in sources["missing"].usable().lines} if "missing" in sources else set[str]()
    read: set[str] = set()
    found: dict[bytes, dict[str, Any]] = {}
    for path, first, last, certificate in (one for source in looked_at for one in _certificates(source)):
        read.add(path)
        key = certificate.public_bytes(_encoding())
        if key not in found or (path in named and not found[key]["configured"]):
            found[key] = _facts(certificate, path, path in named) | {"at": at("sec.certs", first, last)}
    lost = [
        unseen(configured, f"no certificate could be read from {path}", number)
        for path, number in named.items()
        if "named" in sources and path not in read and path not in missing
    ]
    if not found and not lost:
        raise NothingThere("sec.certs", in_folders.missing or "a certificate in the folders of the usual services")
    return {"certificates": [*sorted(found.values(), key=lambda one: one["path"]), *lost]}


def _certificates(source: Source) -> Iterator[tuple[str, int, int, Certificate]]:
    """Yield path, first and last line and certificate of each file."""
    path, lines = "", list[Line]()
    for line in source.lines:
        if not lines and not line.data:
            continue  # none at all
        if line.data.startswith(b"file ") and not lines:
            path = line.text.removeprefix("file ")
        elif path:
            lines.append(line)
            if b"-----END CERTIFICATE-----" in line.data:
                yield path, lines[0].number, line.number, _read(b"\n".join(one.data.strip() for one in lines) + b"\n")
                path, lines = "", []
        else:
            raise ParseError(source.question, line.data)
    if path:
        raise ParseError(source.question, path.encode())


def _read(pem: bytes) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate  # up to 0.2 s: only where there is one to read

    try:
        return load_pem_x509_certificate(pem)
    except ValueError:
        raise ParseError("sec.certs", pem) from None


def _encoding() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


def _facts(certificate: Certificate, path: str, configured: bool) -> dict[str, Any]:
    try:
        return {
            "path": path,
            "name": _name_of(certificate),
            "issuer": _common_name(certificate.issuer),
            "not_before_s": int(certificate.not_valid_before_utc.timestamp()),
            "not_after_s": int(certificate.not_valid_after_utc.timestamp()),
            "configured": configured,
        }
    except ValueError:  # names and times are read only now
        raise ParseError("sec.certs", path.encode()) from None


def _name_of(certificate: Certificate) -> str:
    """Return the first DNS name that a certificate is for, else its common name."""
    from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

    try:
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(DNSName)
    except ExtensionNotFound:
        names = []
    return names[0] if names else _common_name(certificate.subject)


def _common_name(name: Name) -> str:
    from cryptography.x509 import NameOID

    values = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return values[0] if values else name.rfc4514_string()


PROBES: tuple[Probe, ...] = (
    Probe(
        question=Question(
            id="sec.certs", script=_SCRIPT, deadline_s=15, max_bytes=512 * 1024, privilege=Privilege.PREFER_ROOT, calm=True
        ),
        parse=parse_certificates,
        redact=(Redaction(pattern=_PRIVATE),),
        summary="Until when the certificates in the files of the usual services are valid",
        shape={
            "certificates": [
                {
                    "path": "str",
                    "name": "str",
                    "issuer": "str",
                    "not_before_s": "int seconds",
                    "not_after_s": "int seconds",
                    "configured": "bool",
                    "unseen": "str?",
                    "at": "at",
                }
            ]
        },
    ),
)
