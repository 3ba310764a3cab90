"""What users are told when something is wrong: one sentence and an exit code."""

import errno


class UserError(Exception):
    """The request cannot be served as it stands (exit code 2). The message is one sentence."""

    exit_code = 2


class RunFailed(Exception):
    """A run that had started could not finish (exit code 1). The message is one sentence."""

    exit_code = 1


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def refused(error: OSError) -> str:
    """One sentence from what the system refuses."""
    reason = error.strerror or " ".join(str(error).split())
    if error.errno in NO_ROOM:
        where = short(str(error.filename or "a file"))
        return f"Writing {where} failed ({reason}): mend that, or choose another output_dir=."
    return f"{short(str(error.filename))}: {reason}." if error.filename else f"{reason}."


def short(text: str) -> str:
    """Enough of a long request for a sentence about it."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"
