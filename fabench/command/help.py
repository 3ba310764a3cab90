"""``fabench help [TOPIC]``: what the README leaves to topics/, as its Markdown has it."""

from collections.abc import Sequence
from pathlib import Path

from fabench.schema import UserError

TOPICS = Path(__file__).parent / "topics"
LINKS = {"](../../../": "](", "](../../": "](fabench/", "](../": "](fabench/command/"}
"""A link's beginning in a topic, and as it is from the top of the repository."""


def help_on(args: Sequence[str]) -> int:
    """Print the named topics; without a name, a line on each.

    Raises:
        UserError: there is no such topic.
    """
    topics = {file.stem: file.read_text(encoding="utf-8") for file in sorted(TOPICS.glob("*.md"))}
    unknown = [name for name in args if name not in topics]
    if unknown:
        raise UserError(f"There is no topic {unknown[0]}; there are {', '.join(topics)}.")
    for name in args:
        text = topics[name]
        for link, from_top in LINKS.items():
            text = text.replace(link, from_top)
        print(text, end="")
    if not args:
        for name, text in topics.items():
            print(f"{name:<16} {text.splitlines()[0].removeprefix('# ')}")
    return 0
