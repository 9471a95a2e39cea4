"""The command line, the environment and a file into one BrokerConfig; and how a configuration is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbroker.config import BROKER_CONFIGS, MEMORY, BrokerConfig, ConfigError, Origin, Setting, Source, split_address
from kbroker.config.sources import settings_of_environment, settings_of_overrides
from kbroker.real.files import read_text
from kbroker.real.process import environment


class Flags(NamedTuple):
    """What the flags of `serve` say about the configuration; None and () where nothing was given."""

    mode: str = "dev"
    properties: str | None = None
    listen: str | None = None
    advertise: str | None = None
    data_dir: str | None = None
    topics: Sequence[str] = ()
    overrides: Sequence[str] = ()


def load_config(flags: Flags) -> BrokerConfig:
    """File, environment, -o and flags over the mode's presets, in this order. Raises ConfigError, FileUnreadable."""
    settings: list[Setting] = []
    if flags.properties is not None:
        # javaproperties takes longer to import than everything else a start without a file does.
        from kbroker.config.sources import settings_of_properties

        settings += settings_of_properties(read_text(flags.properties), flags.properties)
    settings += settings_of_environment(environment())
    settings += settings_of_overrides(flags.overrides)
    settings += _settings_of_flags(flags)
    if flags.advertise == "auto":
        settings = [setting for setting in settings if setting.name != "advertised.listeners"]
    config = BrokerConfig.resolve(settings, mode=flags.mode)
    if flags.advertise is None or flags.advertise == "auto":
        return config
    return BrokerConfig.resolve([*settings, _advertised(flags.advertise, config)], mode=flags.mode)


def _settings_of_flags(flags: Flags) -> list[Setting]:
    settings = []
    if flags.listen is not None:
        _check_address("--listen", flags.listen)
        settings.append(_flag("listeners", f"PLAINTEXT://{flags.listen}", "--listen"))
    if flags.data_dir is not None:
        directory = MEMORY if flags.data_dir in (MEMORY, "memory://") else flags.data_dir
        settings.append(_flag("log.dirs", directory, "--data-dir"))
    if flags.topics:
        settings.append(_flag("kbroker.topics", ",".join(flags.topics), "--topic"))
    return settings


def _advertised(address: str, config: BrokerConfig) -> Setting:
    _check_address("--advertise", address)
    return _flag("advertised.listeners", f"{config.listeners[0].name}://{address}", "--advertise")


def _flag(name: str, text: str, flag: str) -> Setting:
    return Setting(name, text, Origin(Source.FLAG, flag))


def _check_address(flag: str, text: str) -> None:
    try:
        split_address(text)
    except ValueError:
        raise ConfigError(
            flag, text, "it must be HOST:PORT with a port up to 65535, an IPv6 address in brackets"
        ) from None


def printed_config(config: BrokerConfig) -> str:
    """Every config as a properties file, with a comment before each that somebody set; secrets are hidden."""
    names = sorted(BROKER_CONFIGS)
    given = [name for name in names if config.origin(name).source is not Source.DEFAULT]
    lines = []
    for name in sorted(given, key=lambda name: (-list(Source).index(config.origin(name).source), name)):
        lines += [f"# {config.origin(name)}", _line(config, name)]
    lines.append("# defaults")
    lines += [_line(config, name) for name in names if name not in given]
    return "\n".join(lines)


def _line(config: BrokerConfig, name: str) -> str:
    text = config.text(name)
    if text is None:
        return f"#{name}="
    return f"{name}={'[hidden]' if BROKER_CONFIGS[name].is_sensitive else text}"
