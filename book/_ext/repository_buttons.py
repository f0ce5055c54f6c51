"""Source, issue and Colab buttons, shown only where the repository's address is known.

No file names a repository. The address comes from the variable LINFCOURSE_REPOSITORY or, in a
GitHub workflow, from GITHUB_REPOSITORY; either "owner/name" or a full https address. Without one
the book has no such buttons. Colab opens the notebooks from the branch that the publishing
workflow fills: there the install cell knows its wheel.
"""

import os
import re

from sphinx.errors import ConfigError

SOURCE_BRANCH = "main"
NOTEBOOK_BRANCH = "notebooks"


def repository_url(environ=os.environ) -> str:
    """The repository's https address, or "" where none is configured."""
    name = environ.get("LINFCOURSE_REPOSITORY") or environ.get("GITHUB_REPOSITORY") or ""
    name = name.strip().rstrip("/").removesuffix(".git")
    if not name:
        return ""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
        return f"{server.rstrip('/')}/{name}"
    if re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,}", name):
        return name
    raise ConfigError(f"LINFCOURSE_REPOSITORY must be owner/name or an https address, got {name!r}")


def configure_buttons(app, config):
    """Switch the theme's buttons on, all of them, or leave them off."""
    url = repository_url()
    options = config.html_theme_options
    if not url:
        options.pop("repository_url", None)
        return
    options.update(
        repository_url=url,
        repository_provider="gitlab" if "gitlab" in url else "github",
        repository_branch=SOURCE_BRANCH,
        path_to_docs="",
        use_repository_button=True,
        use_source_button=True,
        use_issues_button=True,
    )
    if url.startswith("https://github.com/"):
        options["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}


def point_buttons(app, pagename, templatename, context, doctree):
    """Source of a chapter: its text, not the notebook's JSON. Colab: the stamped notebook."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            url = button.get("url", "")
            if "colab.research.google.com" in url:
                button["url"] = url.replace(f"/blob/{SOURCE_BRANCH}/", f"/blob/{NOTEBOOK_BRANCH}/")
            elif button.get("label") == "source-file-button":
                button["url"] = url.replace(".ipynb", ".md")


def setup(app):
    app.connect("config-inited", configure_buttons)
    app.connect("html-page-context", point_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
