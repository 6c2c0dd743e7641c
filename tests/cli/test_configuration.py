"""Settings: precedence, units, and errors that name the place, the key and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.errors import UsageError
from crawler.model.settings import Crawl, HostOverride, Http, Limits, Output, Politeness, Scope, Settings
from crawler.run.configuration import (
    current_folder,
    default_file,
    held,
    keys,
    load,
    settings_as_dict,
    unknown_variables,
)


def settings(flags=None, environ=None, text=None, tmp_path=None) -> Settings:
    return load(flags or {}, environ or {}, written(tmp_path, text) if text is not None else None)[0]


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    return file


def refusal(text: str, tmp_path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load({}, {}, written(tmp_path, text))
    return str(caught.value)


def typed_refusal(path: str, value: object) -> str:
    with pytest.raises(UsageError) as caught:
        load({path: value}, {}, None)
    return str(caught.value)


def test_nothing_set_is_the_table_of_defaults():
    made, origins = load({}, {}, None)
    assert made == Settings()
    assert set(origins.values()) == {"default"}
    assert set(origins) == {key.path for key in keys()}


def test_typed_wins_over_environment_over_file_over_default(tmp_path):
    file = written(tmp_path, "[scope]\ndepth = 1\n[crawl]\nworkers = 7\nurls_per_host = 9\n")
    environ = {"CRAWLER_SCOPE_DEPTH": "2", "CRAWLER_CRAWL_WORKERS": "8"}
    made, origins = load({"scope.depth": "4"}, environ, file)
    assert (made.scope.depth, made.crawl.workers, made.crawl.urls_per_host) == (4, 8, 9)
    assert made.politeness.delay == 1.0
    assert origins["scope.depth"] == "--depth"
    assert origins["crawl.workers"] == "CRAWLER_CRAWL_WORKERS"
    assert origins["crawl.urls_per_host"] == str(file)
    assert origins["politeness.delay"] == "default"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("1.5", 1.5), ("250ms", 0.25)],
)
def test_durations(text, seconds):
    assert settings({"limits.max_time": text}).limits.max_time == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10MiB", 10 << 20),
        ("256k", 256 << 10),
        ("1GB", 10**9),
        ("1.5KiB", 1536),
        ("17", 17),
        ("3 mb", 3_000_000),
    ],
)
def test_sizes(text, size):
    assert settings({"http.max_body": text}).http.max_body == size


@given(st.integers(1, 2**40), st.sampled_from(["", "k", "KiB", "MB", "GiB"]))
def test_a_size_is_its_number_times_its_unit(number, unit):
    step = {"": 1, "k": 1024, "KiB": 1024, "MB": 10**6, "GiB": 2**30}[unit]
    if number * step <= 2**53:
        assert settings({"limits.max_bytes": f"{number}{unit}"}).limits.max_bytes == number * step


def test_none_lifts_a_limit_from_every_source(tmp_path):
    assert settings({"scope.depth": "none"}).scope.depth is None
    assert settings(environ={"CRAWLER_LIMITS_PAGES_PER_HOST": "None"}).limits.pages_per_host is None
    assert settings(text='[scope]\ndepth = "none"\n', tmp_path=tmp_path).scope.depth is None


def test_none_is_refused_where_there_has_to_be_something():
    assert "cannot be lifted" in typed_refusal("crawl.workers", "none")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("crawl.workers", "0"),
        ("crawl.workers", "-1"),
        ("crawl.workers", "2.5"),
        ("crawl.workers", True),
        ("crawl.workers", str(2**63)),
        ("scope.depth", "-1"),
        ("politeness.delay", "-0.1"),
        ("politeness.delay", "nan"),
        ("politeness.delay", "inf"),
        ("politeness.delay", "1 fortnight"),
        ("politeness.delay", "1e400"),
        ("http.timeout", "0"),
        ("http.timeout", "4000d"),
        ("http.max_body", "10 elephants"),
        ("http.max_body", "0"),
        ("http.max_body", "1i"),
        ("scope.kind", "hosts"),
        ("output.body", "pdf"),
        ("output.headers", "maybe"),
        ("frontier.url", "postgres://x"),
        ("frontier.url", "sqlite://relative"),
        ("http.allow_networks", ["127.0.0.1/8"]),
        ("http.allow_networks", ["everything"]),
        ("http.nameservers", ["ns.example.org"]),
        ("http.nameservers", ["127.0.0.1:0"]),
        ("http.proxy", "socks5://127.0.0.1:1080"),
        ("http.ca_file", "/no/such/file.pem"),
        ("http.user_agent", "a\r\nX-Injected: 1"),
        ("http.user_agent", "/x"),
        ("limits.rate", "0"),
        ("limits.rate", "-1"),
        ("limits.rate", "nan"),
        ("limits.rate", "2m"),
        ("limits.rate", "1e300"),
        ("http.contact", "a\x00b"),
        ("scope.deny", ["("]),
        ("scope.deny", ["(?=lookahead)"]),
        ("scope.types", ["html"]),
        ("crawl.job", "../etc"),
        ("crawl.job", ".."),
        ("crawl.job", "a" * 65),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_flag(path, value):
    option = next(key.option for key in keys() if key.path == path)
    assert typed_refusal(path, value).startswith(f"{option}: expected ")


def test_a_user_agent_without_a_robots_token_says_why(tmp_path):
    assert "robots.txt knows a crawler by that" in typed_refusal("http.user_agent", "/x 1")
    file = tmp_path / "c.toml"
    file.write_text('[hosts."a.example"]\nuser_agent = "/x"\n')
    with pytest.raises(UsageError, match=r"c.toml:2: .*user_agent: expected .*robots.txt knows"):
        load({}, {}, file)
    with pytest.raises(UsageError, match="user_agent: expected"):
        held(Settings(http=Http(user_agent="/x")))


def test_zero_where_zero_means_something():
    made = settings({"scope.depth": "0", "politeness.delay": "0", "limits.grace": "0", "http.min_rate": "0"})
    assert (made.scope.depth, made.politeness.delay, made.limits.grace, made.http.min_rate) == (0, 0, 0, 0)


def test_a_near_choice_is_named():
    assert "did you mean host?" in typed_refusal("scope.kind", "hosts")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[scope]\nkind = 'host'\n\ndeth = 3\n", ":4: unknown key deth in [scope]; did you mean depth?"),
        ("[scop]\ndepth = 3\n", ":1: unknown section [scop]; did you mean scope?"),
        ("[crawl]\ndelay = 3\n", ":2: unknown key delay in [crawl]; did you mean [politeness] delay?"),
        ("workers = 3\n", ":1: unknown key workers outside a section; did you mean [crawl] workers?"),
        ("[scope]\n# depth = 1\ndepth = 'deep'\n", ":3: [scope] depth: expected a whole number, 0 or more"),
        (
            "scope.depth = true\n",
            ":1: [scope] depth: expected a whole number, 0 or more, or none; found true",
        ),
        ("crawl = 3\n", ":1: crawl is a section: write [crawl]"),
        ("[crawl]\nworkers = \n", "line 2"),
        ("[crawl]\nworkers = 1\nworkers = 2\n", "line 3"),
        ("[http]\nheaders = {Accept = 1}\n", ":2: [http] headers: expected a table"),
        ('[http.headers]\n"X-A" = "a\\r\\nX-B: c"\n', ":1: [http] headers: expected"),
        ('[http.headers]\n"X A" = "b"\n', "'X A' is not a header name"),
        ('[http.headers]\nHost = "b"\n', "set by the program itself"),
        ("[hosts]\nfoo = 1\n", 'is a section: write [hosts."foo"]'),
        (
            '[hosts."a.example"]\ndely = 1\n',
            ':2: unknown key dely in [hosts."a.example"]; did you mean delay?',
        ),
        (
            '[hosts."a.example"]\n\ndelay = -1\n',
            ':3: [hosts."a.example"] delay: expected a duration, 0 or more',
        ),
        ('[hosts."http://a.example/"]\ndelay = 1\n', ":1: [hosts"),
        ('[hosts."a.example:80"]\ndelay = 1\n', "expected a host name, without scheme, port and path"),
        ('[hosts."A.example"]\n[hosts."a.example"]\n', "is there twice"),
    ],
)
def test_an_error_names_file_line_and_key(text, says, tmp_path):
    message = refusal(text, tmp_path)
    assert message.startswith(str(tmp_path / "config.toml"))
    assert says in message


def test_no_error_shows_a_secret(tmp_path):
    message = refusal('[http.headers]\nCookie = "hunter2\\n"\n', tmp_path)
    assert "hunter2" not in message
    assert "pa55" not in typed_refusal("http.proxy", "ftp://me:pa55@proxy/")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml: No such file"):
        load({}, {}, default_file(str(tmp_path / "nowhere.toml"), tmp_path))
    file = tmp_path / "config.toml"
    file.write_bytes(b"[crawl]\n# \xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load({}, {}, file)
    file.write_bytes(b"\xef\xbb\xbf[crawl]\r\nworkers = 3\r\n")
    assert load({}, {}, file)[0].crawl.workers == 3


def test_the_file_of_this_folder_is_read_if_it_is_there(tmp_path):
    assert default_file(None, tmp_path) is None
    assert default_file(None, written(tmp_path, "").parent) == tmp_path / "config.toml"


def test_lists_come_by_commas_from_the_environment():
    environ = {"CRAWLER_SCOPE_DENY": r"/a{1\,3}/, \.pdf$", "CRAWLER_HTTP_ALLOW_NETWORKS": ""}
    made = settings(environ=environ)
    assert made.scope.deny == ("/a{1,3}/", r"\.pdf$")
    assert made.http.allow_networks == ()


def test_an_empty_list_in_the_environment_wins_over_the_file(tmp_path):
    text = "[http]\nallow_networks = ['10.0.0.0/8']\nproxy = 'http://p:1/'\n"
    environ = {"CRAWLER_HTTP_ALLOW_NETWORKS": "", "CRAWLER_HTTP_PROXY": "", "CRAWLER_CRAWL_WORKERS": ""}
    made = settings(environ=environ, text=text, tmp_path=tmp_path)
    assert made.http.allow_networks == ()
    assert made.http.proxy is None
    assert made.crawl.workers == 256


def test_typed_lists_are_not_cut_at_commas():
    assert settings({"scope.deny": ["a{1,3}"]}).scope.deny == ("a{1,3}",)


def test_headers_from_every_source(tmp_path):
    assert settings({"http.headers": ["X-A: b:c", "X-D: e"]}).http.headers == {"X-A": "b:c", "X-D": "e"}
    assert settings(environ={"CRAWLER_HTTP_HEADERS": "X-A: b\nX-D: e"}).http.headers == {
        "X-A": "b",
        "X-D": "e",
    }
    text = '[http.headers]\n"X-A" = "b"\n'
    assert settings(text=text, tmp_path=tmp_path).http.headers == {"X-A": "b"}
    assert "write Name: value" in typed_refusal("http.headers", ["nothing"])


def test_a_host_has_its_own_settings_under_its_canonical_name(tmp_path):
    text = """
[hosts."Example.ORG"]
delay = "5s"
per_host = 2
headers = { "X-A" = "b" }
[hosts."bücher.example"]
user_agent = "me/1"
[hosts."[::1]"]
timeout = 3
"""
    hosts = settings(text=text, tmp_path=tmp_path).hosts
    assert set(hosts) == {"example.org", "xn--bcher-kva.example", "[::1]"}
    assert (hosts["example.org"].delay, hosts["example.org"].per_host) == (5.0, 2)
    assert hosts["example.org"].headers == {"X-A": "b"}
    assert hosts["example.org"].timeout is None
    assert hosts["xn--bcher-kva.example"].user_agent == "me/1"


def test_run_json_gets_every_setting_and_no_secret(tmp_path):
    text = """
[http]
proxy = "http://me:hunter2@proxy.example:8080/"
headers = { Authorization = "Bearer hunter2", "X-Api-Key" = "hunter2", "Accept-Language" = "fi" }
[hosts."a.example"]
headers = { Cookie = "hunter2" }
delay = 2
"""
    shown = settings_as_dict(settings(text=text, tmp_path=tmp_path))
    assert "hunter2" not in repr(shown)
    assert shown["http"]["headers"]["Accept-Language"] == "fi"
    assert shown["http"]["proxy"] == "http://***@proxy.example:8080/"
    assert shown["hosts"] == {"a.example": {"delay": 2.0, "headers": {"Cookie": "***"}}}
    assert {f"{section}.{name}" for section in shown if section != "hosts" for name in shown[section]} == {
        key.path for key in keys()
    }


def test_a_misspelt_variable_is_told_and_those_of_kubernetes_are_not_errors():
    environ = {"CRAWLER_SCOPE_DEPHT": "3", "CRAWLER_SERVICE_HOST": "10.0.0.1", "PATH": "/bin"}
    assert unknown_variables(environ) == [
        "CRAWLER_SCOPE_DEPHT is not a setting; did you mean CRAWLER_SCOPE_DEPTH?"
    ]
    load({}, environ, None)


@given(st.text(max_size=40))
def test_no_text_is_more_than_a_usage_error(text):
    for key in keys():
        try:
            load({key.path: [text] if key.kind is tuple else text}, {}, None)
        except UsageError:
            pass


def test_a_config_toml_that_is_a_dead_link_or_a_folder_is_an_error(tmp_path):
    """It is there, and says nothing: a job must not run for months without its settings."""
    (tmp_path / "config.toml").symlink_to(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="No such file"):
        load({}, {}, default_file(None, tmp_path))
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        load({}, {}, default_file(None, tmp_path))


def test_a_host_without_quotes_is_told_how_it_is_written(tmp_path):
    assert '[hosts."example.org"]' in refusal("[hosts.example.org]\ndelay = 1\n", tmp_path)


def test_a_folder_that_is_gone_is_no_bug(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="current folder"):
        current_folder()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (Settings(crawl=Crawl(workers=0)), "[crawl] workers: expected a whole number, 1 or more; found 0"),
        (Settings(crawl=Crawl(hosts_in_hand=0)), "[crawl] hosts_in_hand"),
        (Settings(politeness=Politeness(delay=-1.0)), "[politeness] delay"),
        (Settings(politeness=Politeness(tries=0)), "[politeness] tries"),
        (Settings(scope=Scope(depth=-1)), "[scope] depth"),
        (Settings(limits=Limits(max_pages=0)), "[limits] max_pages"),
        (Settings(output=Output(body="pdf")), "[output] body: expected one of html"),
        (Settings(crawl=Crawl(workers=None)), "[crawl] workers"),  # type: ignore[arg-type]
        (Settings(hosts={"a.test": HostOverride(delay=-1.0)}), '[hosts."a.test"] delay'),
        (Settings(hosts={"http://a.test/": HostOverride()}), "hosts 'http://a.test/'"),
        (Settings(hosts={"a.test": HostOverride(), "A.test": HostOverride()}), "hosts 'A.test'"),
    ],
)
def test_settings_made_by_a_program_are_held_to_the_same(made, says):
    with pytest.raises(UsageError) as refused:
        held(made)
    assert says in str(refused.value)


def test_settings_that_can_be_meant_are_kept_as_they_are(tmp_path):
    made = Settings(
        scope=Scope(depth=None, allow=("a,b", "c")),
        politeness=Politeness(delay=0),
        http=Http(headers={"X-A": "b"}, user_agent="me", ca_file=None),
    )
    assert held(made) == made
    assert held(Settings()) == Settings()
    text = '[http]\nheaders = {A = "b"}\n[hosts."A.test"]\ndelay = 2\n'
    as_read = settings(text=text, tmp_path=tmp_path)
    assert held(as_read) == as_read


def test_host_names_of_a_program_are_canonical_and_one_text_is_a_list_of_one():
    made = held(Settings(scope=Scope(deny="x"), hosts={"B\u00fccher.test": HostOverride(delay=3)}))
    assert made.scope.deny == ("x",)
    assert list(made.hosts) == ["xn--bcher-kva.test"]
