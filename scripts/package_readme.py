"""Write the README for package indexes, which show it away from the repository: its links and images become URLs.

hatchling runs this when it builds sdist and wheel.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def with_urls(text: str, source: str, tag: str) -> str:
    """Return a document whose relative links and images are URLs.

    :param text: The document, in Markdown.
    :param source: The repository's URL, for example ``https://github.com/OWNER/name``.
    :param tag: The tag that the URLs point to, so that they show the files of this version.
    """
    raw = source.replace("https://github.com/", "https://raw.githubusercontent.com/")
    text = re.sub(r"(!\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{raw}/{tag}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?![a-z]+:|#)", rf"\g<1>{source}/blob/{tag}/", text)


class PackageReadme(MetadataHookInterface):
    """Hook of hatchling for the field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = with_urls(text, metadata["urls"]["Source"], f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
