"""Certificates good and bad, made on the spot (what badssl.com serves, on loopback)."""

from __future__ import annotations

import datetime
import ssl
import warnings
from collections.abc import Mapping
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _server_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class Authority:
    """A certificate authority that the crawler is told to trust, and server contexts with something wrong."""

    def __init__(self) -> None:
        self._trusted = trustme.CA()
        self._stranger = trustme.CA()

    def write(self, path: Path) -> Path:
        """The authority's own certificate as PEM, for ``[http] ca_file``."""
        self._trusted.cert_pem.write_to_path(path)
        return path

    def good(self, *names: str) -> ssl.SSLContext:
        """A certificate for these names or addresses, in order."""
        context = _server_context()
        self._trusted.issue_cert(*names).configure_cert(context)
        return context

    def expired(self, *names: str) -> ssl.SSLContext:
        """It was over yesterday."""
        context = _server_context()
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self._trusted.issue_cert(*names, not_after=yesterday).configure_cert(context)
        return context

    def wrong_host(self) -> ssl.SSLContext:
        """It is for ``other.test``."""
        return self.good("other.test")

    def untrusted(self, *names: str) -> ssl.SSLContext:
        """Its authority is nobody the crawler knows."""
        context = _server_context()
        self._stranger.issue_cert(*names).configure_cert(context)
        return context

    def incomplete(self, *names: str) -> ssl.SSLContext:
        """It comes from an intermediate authority whose certificate the server leaves out."""
        context = _server_context()
        leaf = self._trusted.create_child_ca().issue_cert(*names)
        with leaf.private_key_pem.tempfile() as key, leaf.cert_chain_pems[0].tempfile() as chain:
            context.load_cert_chain(chain, key)
        return context

    def self_signed(self, name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = trustme.Blob(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = _server_context()
        with pem.tempfile() as path:
            context.load_cert_chain(path)
        return context

    def old(self, *names: str) -> ssl.SSLContext:
        """TLS 1.1 and nothing newer."""
        context = self.good(*names)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    def by_name(self, contexts: Mapping[str, ssl.SSLContext]) -> ssl.SSLContext:
        """One context for one port, which shows each name (SNI) the certificate of its own context."""
        front = self.good(*contexts)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name in contexts:
                connection.context = contexts[name]

        front.sni_callback = choose  # type: ignore[assignment]
        return front
