"""What users are told when something is wrong: one sentence and an exit code."""


class UserError(Exception):
    """The request cannot be served as it stands (exit code 2). The message is one sentence."""

    exit_code = 2


class RunFailed(Exception):
    """A run that had started could not finish (exit code 1). The message is one sentence."""

    exit_code = 1


def short(text: str) -> str:
    """Enough of a long request for a sentence about it."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"
