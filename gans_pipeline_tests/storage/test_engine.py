"""Connections: encrypted and verified, limited in time, alike on every server, and silent about passwords."""

import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gans_pipeline.storage import engine as engines
from gans_pipeline.storage.engine import connected, create_engine, display_url
from gans_pipeline.storage.table_metadata import storage_kind
from gans_pipeline_tests.servers import Kind, find_binary, running_server

SECRET = "correct-horse/battery"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://u:{SECRET}@h/d", "postgresql databases are not supported"),
        (f"mysql+pymysql://u:{SECRET}@h", "names no database"),
        (f"mysql+pymysql://u:{SECRET}@h:port/d", "not of the form"),
        (f"u:{SECRET}", "not of the form"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        create_engine(url)
    assert SECRET not in str(caught.value)


def test_a_shown_url_has_neither_password_nor_query() -> None:
    assert display_url(f"mysql+pymysql://u:p@h/d?ssl_key={SECRET}") == "mysql+pymysql://u:***@h/d"


def test_a_wrong_password_fails_at_once_and_stays_secret(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no users")
    monkeypatch.setattr("gans_pipeline.storage.engine.time.sleep", lambda _: pytest.fail("it is tried again"))
    engine = create_engine(url.set(username="nobody", password=SECRET))
    with pytest.raises(sa.exc.OperationalError, match="Access denied") as caught, connected(engine):
        pass
    assert SECRET not in str(caught.value)


def test_sessions_are_strict_and_in_utc(database_url: str) -> None:
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no sessions to set up")
    with engine.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT @@session.time_zone, @@session.sql_mode, @@character_set_connection"
        ).one()
        assert row[0] == "+00:00"
        assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_ZERO_IN_DATE"} <= set(row[1].split(","))
        assert ("TIME_TRUNCATE_FRACTIONAL" in row[1]) == (storage_kind(engine) == "mysql")
        assert row[2] == "utf8mb4"
        assert connection.get_isolation_level() == "READ COMMITTED"


def test_a_query_that_takes_too_long_is_ended_by_the_server_too(database_url: str) -> None:
    engine = create_engine(database_url, statement_timeout_s=1)
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no statement time-out")
    columns = "information_schema.columns"
    endless = f"SELECT COUNT(*) FROM {columns} a, {columns} b, {columns} c WHERE a.table_name + b.table_name > RAND()"
    began = time.monotonic()
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match=r"[Ll]ost|maximum|max_statement"):
        connection.exec_driver_sql(endless)
    assert time.monotonic() - began < 10
    with create_engine(database_url).connect() as connection:
        shown = (
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT COUNT(*) FROM %%columns c%%'"
        )
        deadline = time.monotonic() + 10
        while connection.exec_driver_sql(shown).scalar_one() > 1 and time.monotonic() < deadline:
            pass
        assert connection.exec_driver_sql(shown).scalar_one() == 1  # this question itself


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("gans_pipeline.storage.engine.time.sleep", waits.append)
    engine = create_engine("mysql+pymysql://u:p@127.0.0.1:1/d")
    with pytest.raises(sa.exc.OperationalError, match="Can't connect"), connected(engine):
        pass
    assert len(waits) == engines.CONNECT_ATTEMPTS - 1
    assert waits == sorted(waits)
    assert 5 < sum(waits) < 15


Certificates = dict[str, Path]


def _certificate(
    name: str, host: str | None, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if host:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(identifier, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Two authorities, and certificates of the first for this host and for another one."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = _certificate("ours", None, None), _certificate("theirs", None, None)
    made = {
        "ca": ours,
        "other-ca": theirs,
        "here": _certificate("here", "127.0.0.1", ours),
        "elsewhere": _certificate("elsewhere", "10.9.8.7", ours),
    }
    paths = {}
    for name, (certificate, key) in made.items():
        paths[name], paths[f"{name}-key"] = folder / f"{name}.pem", folder / f"{name}-key.pem"
        paths[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[f"{name}-key"].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return paths


@pytest.fixture(scope="module", params=["here", "elsewhere"])
def tls_server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[tuple[str, str]]:
    """A private server whose certificate is for this host or another one: (which, URL)."""
    kind: Kind = "mysql" if find_binary("mysql") else "mariadb"
    binary = find_binary(kind)
    if binary is None:
        pytest.skip("no server's program on the PATH")
    options = [
        f"--ssl-ca={certificates['ca']}",
        f"--ssl-cert={certificates[request.param]}",
        f"--ssl-key={certificates[f'{request.param}-key']}",
    ]
    with running_server(kind, binary, *options) as url:
        yield request.param, url.set(database="mysql").render_as_string(hide_password=False)


def test_tls_is_verified_where_a_certificate_authority_is_named(
    tls_server: tuple[str, str], certificates: Certificates
) -> None:
    which, url = tls_server
    engine = create_engine(url, tls_ca=str(certificates["ca"]))
    if which == "elsewhere":
        with pytest.raises(sa.exc.OperationalError, match=r"IP address mismatch|not valid for"), connected(engine):
            pass
        return
    with connected(engine) as connection:
        cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
    assert cipher


def test_a_certificate_of_another_authority_is_refused_at_once(
    tls_server: tuple[str, str], certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gans_pipeline.storage.engine.time.sleep", lambda _: pytest.fail("it is tried again"))
    engine = create_engine(tls_server[1], tls_ca=str(certificates["other-ca"]))
    with pytest.raises(sa.exc.OperationalError, match="certificate verify failed") as caught, connected(engine):
        pass
    assert isinstance(caught.value.orig.original_exception, ssl.SSLError)  # type: ignore[union-attr]


def test_a_server_that_does_not_prove_who_it_is_is_refused(
    database_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL makes itself a certificate that nobody vouches for; MariaDB 10.11 has none."""
    monkeypatch.setattr(engines, "CONNECT_ATTEMPTS", 1)
    engine = create_engine(database_url, tls_ca=str(certificates["ca"]))
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no network")
    with pytest.raises(sa.exc.OperationalError, match=r"SSL|certificate verify failed"), connected(engine):
        pass
