"""The paradigms of a workspace: built-in ones, those of plugins, those of team files."""

from __future__ import annotations

from edgeagent.agent.paradigms.catalog import Catalog
from edgeagent.agent.plugins import load_plugin
from edgeagent.agent.tools.toolbox import plugin_files
from edgeagent.config.workspace import Workspace


def catalog_of(workspace: Workspace) -> Catalog:
    """Return all paradigms that a user of this workspace can name.

    Raises:
        ConfigError: A plugin or a team's file is not valid, or a name is taken.
    """
    plugins = [load_plugin(path) for path in plugin_files(workspace)]
    paradigms = [paradigm for plugin in plugins for paradigm in plugin.paradigms]
    return Catalog(paradigms, workspace.teams)
