"""A crawl through a proxy says so: what a name leads to, only the proxy can know."""

from __future__ import annotations

from tests.servers.forward_proxy import ForwardProxy


def test_the_proxy_is_named_wherever_a_person_looks(site, crawl):
    site.robots()
    site.host("far.test").page("/", body=b"far")
    with ForwardProxy() as proxy:
        seeds = [f"http://far.test:{site.port}/", "http://127.0.0.1:1/"]
        config = {"http": {"proxy": proxy.url("me:pa55word@"), "allow_networks": []}}
        ended = crawl(seeds, depth=0, config=config, allow_network=None, nameserver=None)
    assert ended.code == 0, ended
    assert ended.by_url[seeds[0]]["body"] == "far"
    assert ended.by_url[seeds[1]]["reason"] in ("blocked_address", "blocked_port")
    (warning,) = (text for text in ended.manifest["warnings"] if "proxy" in text)
    assert f"http://***@127.0.0.1:{proxy.port}" in warning
    assert "address guard" in warning
    assert " ".join(ended.stderr.split()).count("the address guard sees only") == 2, "the log and the summary"
    everything = ended.stderr.encode() + b"".join(ended.lines) + (ended.folder / "run.json").read_bytes()
    assert b"pa55word" not in everything
