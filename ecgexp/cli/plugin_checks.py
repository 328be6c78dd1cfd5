"""The check of `ecgexp-doctor` that lists plug-ins."""

from collections.abc import Iterator

from ecgexp.cli.doctor_checks import Finding, Settings
from ecgexp.settings import plugins
from ecgexp.settings.declaration import ConfigError
from ecgexp.settings.installation import to_type
from ecgexp.settings.registry import settings_class


def check_plugins(settings: Settings) -> Iterator[Finding]:
    """Lists the plug-ins with what each provides; one that cannot be used breaks no other."""
    del settings  # the environment alone decides
    for one in plugins.refused():
        what, _, advice = one.why.rpartition("; ")
        yield Finding(what=f"plug-in {one.name}", state="note", found=what, advice=advice)
    for plugin in plugins.installed().values():
        yield _finding(plugin)
    if not plugins.installed() and not plugins.refused():
        yield Finding(
            what="plug-ins",
            state="good",
            found="none",
            advice=f"a model of your own: `{to_type('ecgexp-new plugin NAME')}`",
        )


def _finding(plugin: plugins.Plugin) -> Finding:
    what, about = f"plug-in {plugin.name}", f"{plugin.distribution} {plugin.version}"
    provided = [*plugin.names, *plugin.options]
    if not plugin.names:
        return Finding(
            what=what,
            state="note",
            found=f"{about} has no settings class",
            advice=f"import it in {plugin.folder}/__init__.py, with the decorator "
            "ecgexp.settings.settings",
        )
    for name in plugin.names:
        try:
            settings_class(name)
        except ConfigError as error:
            return Finding(
                what=what,
                state="note",
                found=f"{about}: {error}",
                advice=f"or uninstall {plugin.distribution}",
            )
    unused = [option for option in plugin.options if option in _own_options()]
    if unused:
        return Finding(
            what=what,
            state="note",
            found=f"{about}: {', '.join(provided)}",
            advice=f"ecgexp has {' and '.join(unused)} itself, which is used: rename the file",
        )
    return Finding(what=what, state="good", found=f"{about}: {', '.join(provided)}")


def _own_options() -> frozenset[str]:
    from ecgexp.settings.location import config_dir

    return frozenset(plugins.options_in(config_dir()))
