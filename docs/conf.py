"""Configuration of Sphinx. The site is built offline: every file that a page loads is part of the build."""

from importlib.metadata import version as version_of

project = "kshot"
author = "the kshot contributors"
copyright = "the kshot contributors"  # noqa: A001 - Sphinx's name for it
version = release = version_of("kshot")

extensions = ["myst_parser"]
exclude_patterns = ["tools"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"kshot {version}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_last_updated_fmt = None
