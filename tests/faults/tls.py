"""TLS in front of a Redis that was built without it, and the certificates for that."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import select
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="certificates are made with the package cryptography, which moto brings")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """Signs one certificate, that of a server on this machine."""

    ca: Path  #: what a client is given to trust
    chain: Path  #: the server's own certificate and key

    @classmethod
    def make(cls, folder: Path, name: str, *, host: str = "127.0.0.1") -> Authority:
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        ca = (
            _builder(subject, subject, ca_key.public_key(), ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        server = (
            _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), subject, key.public_key(),
                     ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_name(host)]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )  # fmt: skip
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        made = cls(folder / f"{name}-ca.pem", folder / f"{name}-server.pem")
        made.ca.write_bytes(ca.public_bytes(pem))
        made.chain.write_bytes(server.public_bytes(pem) + private)
        return made


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


class TlsFront:
    """Takes TLS on a port of its own and passes what is in it to a server on 127.0.0.1."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.target = port
        self.heard = bytearray()  #: what clients sent, taken out of TLS
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._relay, args=(client,)))
            self._threads[-1].start()

    def _relay(self, client: socket.socket) -> None:
        """One thread for both directions: an SSL object is not made for two."""
        with contextlib.suppress(OSError), client:
            client.settimeout(8)  # for what is no TLS, and says nothing
            with (
                self._context.wrap_socket(client, server_side=True) as tls,
                socket.create_connection(("127.0.0.1", self.target), 5) as server,
            ):
                self._open.add(tls)
                try:
                    self._pass_on(tls, server)
                finally:
                    self._open.discard(tls)

    def _pass_on(self, tls: ssl.SSLSocket, server: socket.socket) -> None:
        while True:
            ready = [tls] if tls.pending() else select.select([tls, server], [], [])[0]
            for source, sink in ((tls, server), (server, tls)):
                if source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is tls:
                        self.heard += data
                    sink.sendall(data)
