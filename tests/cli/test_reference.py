"""config.toml and the flags say what the settings table says."""

from __future__ import annotations

import re
from pathlib import Path

from crawler.cli.reference import config_text
from crawler.model.settings import Settings
from crawler.run.configuration import keys, load

ROOT = Path(__file__).parents[2]


def test_config_toml_is_the_one_written_from_the_table():
    assert (ROOT / "config.toml").read_text("utf-8") == config_text()


def test_every_setting_is_in_config_toml_with_its_default(tmp_path):
    """With every comment sign before a key taken away it is the default configuration."""
    text = re.sub(r"(?m)^#(?=[\w\[\]]|  \")", "", config_text())
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    made, origins = load({}, {}, file)
    for section in (
        "crawl",
        "scope",
        "politeness",
        "robots",
        "http",
        "limits",
        "frontier",
        "output",
        "revisit",
        "gate",
        "log",
    ):
        assert getattr(made, section) == getattr(Settings(), section)
    assert {origins[key.path] for key in keys()} == {str(file)}


def test_every_unit_and_help_is_there():
    text = " ".join(config_text().replace("#", " ").split())
    for key in keys():
        assert " ".join(key.help.split()) in text
        if key.unit:
            assert {"s": "seconds"}.get(key.unit, key.unit.split("/")[0]) in text


def test_every_setting_has_a_flag_of_its_own():
    options = [key.option for key in keys()]
    assert len(set(options)) == len(options)
