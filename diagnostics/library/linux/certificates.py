"""Certificates in the files of the usual services: their public part comes back and is read here, no openssl is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diagnostics.parsing import ASKING, Line, Source, at, read_sources
from diagnostics.probe import Facts, NothingThere, ParseError, Probe, Redaction
from remote.answer import Answer
from remote.question import Privilege, Question

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

_SCRIPT = (
    ASKING
    + r"""
# what the servers' own files name, without variables and comments
named() {
  sed -n 's/^[[:space:]]*ssl_certificate[[:space:]]*["'\'']\{0,1\}\(\/[^;"'\''$]*\).*/\1/p
s/^[[:space:]]*SSLCertificateFile[[:space:]]*["'\'']\{0,1\}\(\/[^"'\''$]*\).*/\1/p
s/^smtpd_tls_cert_file[[:space:]]*=[[:space:]]*\(\/[^[:space:]$]*\).*/\1/p
s/^[[:space:]]*ssl_cert[[:space:]]*=[[:space:]]*<\(\/[^[:space:]$]*\).*/\1/p' "$@"
}
# the first certificate of each file; at whatever else begins (a key) the file is left
first_ones() {
  find -L "$@" -xdev -type f '(' -name '*.pem' -o -name '*.crt' -o -name '*.cer' ')' -size -64k -exec awk '
    FNR == 1 { open = 0; done = 0 }
    done { next }
    /-----BEGIN / && open { done = 1; next }
    /-----BEGIN CERTIFICATE-----/ { open = 1; print "file " FILENAME }
    open { print }
    /-----END CERTIFICATE-----/ { done = 1 }' {} +
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
while read -r file; do
  [ ! -f "$file" ] || set -- "$@" "$file"
done <<END
$configured
END
if [ "$#" = 0 ]; then absent certificates 'anything where services keep certificates'
else ask certificates first_ones "$@"
fi
"""
)
_PRIVATE = re.compile(rb"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)")


def parse_certificates(answer: Answer) -> Facts:
    """Return the first certificate of each file, each once: for which name, until when (seconds since 1970 UTC).

    `configured`: a server's own file names it. `path` is the file that is named, or the first one found; a chain and its
    leaf in two files are one. Raises NothingThere where no file holds a certificate.
    """
    sources = read_sources("sec.certs", answer)
    configured = sources["configured"]
    named = set() if configured.status is None else {line.text.strip() for line in configured.usable().lines}
    found: dict[bytes, dict[str, Any]] = {}
    for path, first, last, certificate in _certificates(sources["certificates"].usable()):
        key = certificate.public_bytes(_encoding())
        if key not in found or (path in named and not found[key]["configured"]):
            found[key] = _facts(certificate, path, path in named) | {"at": at("sec.certs", first, last)}
    if not found:
        raise NothingThere("sec.certs", "a certificate in the folders of the usual services")
    return {"certificates": sorted(found.values(), key=lambda one: one["path"])}


def _certificates(source: Source) -> Iterator[tuple[str, int, int, Certificate]]:
    """Yield path, first and last line and certificate of each file."""
    path, lines = "", list[Line]()
    for line in source.lines:
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
                    "at": "at",
                }
            ]
        },
    ),
)
