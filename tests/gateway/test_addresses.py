import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import certifi
import pytest
from pydantic import AfterValidator, BaseModel, SecretStr, ValidationError

from gateway.addresses import certificates, http_url, listening, model_name, placed, proxy_url, store_url


def test_good_ones() -> None:
    assert http_url("https://api.example:8443/v1/") == "https://api.example:8443/v1"
    for good in ("http://proxy", "http://proxy:3128/", "http://user:p%2Fw@proxy:3128"):
        assert proxy_url(SecretStr(good)).get_secret_value() == good
    tls = f"rediss://h/1?ssl_ca_certs={certifi.where()}&ssl_cert_reqs=none&ssl_check_hostname=false"
    plain = ("redis://:pw@127.0.0.1:6379/0", "redis://h", "redis://h/", "redis://h?db=3", "redis://h/?client_name=gw")
    for good in (*plain, tls, "unix:///run/redis.sock?db=1", "unix://u:pw@/run/redis.sock"):
        assert store_url(SecretStr(good)).get_secret_value() == good


@pytest.mark.parametrize(
    "url, said",
    [
        ("nonsense", "such as https"),
        ("ftp://h/v1", "such as https"),
        ("http:///v1", "such as https"),
        ("http://h:port/v1", "such as https"),
        ("http://h/v1 x", "such as https"),
        ("http://h/v1\nx", "such as https"),
        ("http://h/v1?key=hidden", "without a query"),
        ("http://h/v1#x", "without a query"),
        ("http://user:hidden@h/v1", "without a user or a password"),
        ("http://user:hidden@evil@h/v1", "without a user or a password"),
    ],
)
def test_what_can_be_no_base_url(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        http_url(url)
    assert "hidden" not in str(caught.value)


# What urllib can't read, it quotes: a slash in a password ends the host, brackets are for addresses, and so on.
TRAPS = ["u:hidden/x@h:1", "u:hidden#x@h:1", "u:hidden?x@h:1", "u:[hidden]@h:1", "u:hidden\u2100@h:1", "u@h:hidden", ""]


@pytest.mark.parametrize("rest", TRAPS)
@pytest.mark.parametrize("scheme, check", [("http", proxy_url), ("redis", store_url)])
def test_no_password_is_quoted(scheme: str, check: Callable[[SecretStr], SecretStr], rest: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        check(SecretStr(f"{scheme}://{rest}"))
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("rest", TRAPS)
def test_nor_is_one_in_a_base_url(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^expected ") as caught:
        http_url(f"http://{rest}/v1")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["socks5://h:1", "https://h:1", "http://h:1/path"])
def test_what_can_be_no_proxy(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected http://host:port"):
        proxy_url(SecretStr(url))


@pytest.mark.parametrize("url", ["http://h:1", "redis:///0", "redis://h/0#x"])
def test_what_can_be_no_redis(url: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a URL such as redis:"):
        store_url(SecretStr(url))


@pytest.mark.parametrize("good", ["127.0.0.1:1", "0.0.0.0:65535", "localhost:9090", "[::1]:9090", "::1:9090"])
def test_addresses_to_listen_on(good: str) -> None:
    assert listening(good) == good


@pytest.mark.parametrize(
    "address, said",
    [
        *(
            (value, "expected host:port")
            for value in ("", "9090", ":9090", "h:", "h:-1", "h:x", "h :1", "[]:1", "h:\u0661")
        ),
        *((f"127.0.0.1:{port}", "expected a port between 1 and 65535") for port in (0, 65536, 99999, 999_999)),
    ],
)
def test_what_can_be_no_address_to_listen_on(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        listening(address)


@pytest.mark.parametrize("port", ["0", "00", "65536", "-1"])
def test_a_port_in_a_url_can_be_one(port: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        http_url(f"http://h:{port}/v1")
    for url, check in ((f"http://h:{port}", proxy_url), (f"redis://h:{port}/0", store_url)):
        with pytest.raises(ValueError, match=r"^expected "):
            check(SecretStr(url))


@pytest.mark.parametrize(
    "url, said",
    [
        ("redis://h:6379/staging", "expected the number of a database"),
        ("redis://h:6379/-1", "expected the number of a database"),
        ("redis://h:6379/1/2", "expected the number of a database"),
        ("redis://h:6379/99999999999", "expected the number of a database"),
        ("redis://h/?db=", "expected the number of a database"),
        ("redis://h/1?db=2", "expected one number of a database"),
        ("redis://h?hidden=bar", "an option behind the ? that is not known; expected db, username, password, client_"),
        ("redis://h?ssl_cert_reqs=none", "an option behind the ? that is not known"),
        ("redis://h?socket_timeout=hidden", "an option behind the ? that is not known"),
        ("rediss://h?ssl_cert_reqs=hidden", "the option ssl_cert_reqs behind the ? has a value that can't be one"),
        ("rediss://h?ssl_ca_certs=/hidden.pem", "the option ssl_ca_certs behind the ? has a value that can't be one"),
        ("rediss://h?ssl_ca_certs=ca.pem", "the option ssl_ca_certs behind the ? has a value that can't be one"),
        ("rediss://h?ssl_ca_path=hidden%00", "the option ssl_ca_path behind the ? has a value that can't be one"),
        ("unix://run/redis.sock", "expected unix:///path/of/the/socket"),
        ("unix://", "expected unix:///path/of/the/socket"),
    ],
)
def test_what_the_client_library_would_pass_over(url: str, said: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(said)) as caught:
        store_url(SecretStr(url))
    assert "hidden" not in str(caught.value)


class Placed(BaseModel):
    file: Annotated[Path, AfterValidator(placed)] = Path("none")
    model: Annotated[str, AfterValidator(model_name)] = ""


def test_paths_go_from_the_configurations_folder_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, meant in (("a/b", "a/b"), ("../a", "../a"), ("~/a", "home/a"), (f"{tmp_path}/c", "c")):
        assert Placed.model_validate({"file": given}, context=tmp_path).file == tmp_path / meant
    assert Placed.model_validate({"file": "a"}).file == Path("a")
    for wrong in ("a\0b", "~no-such-user/a"):
        with pytest.raises(ValidationError, match=r"expected a path without a NUL|no home is known"):
            Placed.model_validate({"file": wrong}, context=tmp_path)


def test_a_model_is_a_name_unless_it_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "org" / "here").mkdir(parents=True)
    path = str(tmp_path / "org/here")
    for given, meant in (("org/here", path), ("org/gone", "org/gone"), ("./org/here", path), ("~/org/here", path)):
        assert Placed.model_validate({"model": given}, context=tmp_path).model == meant
    assert Placed.model_validate({"model": "a" * 5000}, context=tmp_path).model == "a" * 5000


def test_certificates_are_read_before_anything_starts(tmp_path: Path) -> None:
    good, text = tmp_path / "good.pem", tmp_path / "text.pem"
    good.write_text(Path(certifi.where()).read_text("utf-8"), "utf-8")
    text.write_text("no certificate")
    assert certificates(good) == good
    with pytest.raises(ValueError, match=r"no certificates \(PEM\) in .*text\.pem"):
        certificates(text)
    for missing in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(ValueError, match="no file"):
            certificates(missing)
