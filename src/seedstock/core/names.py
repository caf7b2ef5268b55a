"""Names of repos, accounts, refs and files, and the rules they obey.

Lookup of repos and accounts ignores case; answers use the canonical spelling.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from seedstock.core.errors import BadName, BadPath

_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,96}\Z")
_REF_BAD = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|\Z)|(\A|/)\.|\.\Z|/\Z|\A/|\A-|\A@\Z")
_WINDOWS_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 2048  # PostgreSQL indexes no longer text than about 2,700 bytes

# First path segments of the site itself, and second segments that routes use after a bare repo name.
RESERVED_ACCOUNTS = frozenset(
    "api v1 v2 cas models datasets spaces kernels login logout join settings new static health healthz metrics oauth"
    " admin docs search trending organizations users collections papers upload uploads chat compare resolve"
    " raw tree blob commit commits jobs refs well-known favicon.ico favicon.svg robots.txt foundations trace about avatars"
    " lfs lfs-object lfs-part lfs-complete remote arena leaderboard".split()
)


class RepoType(StrEnum):
    """The kinds of repository; the value is the plural used in API paths."""

    MODEL = "models"
    DATASET = "datasets"
    SPACE = "spaces"

    @property
    def singular(self) -> str:
        """`model`, `dataset` or `space`, as request bodies spell it."""
        return self.value[:-1]

    @property
    def url_prefix(self) -> str:
        """What precedes the repo id in web and file URLs: nothing for models."""
        return "" if self is RepoType.MODEL else f"{self.value}/"

    @classmethod
    def from_singular(cls, text: str | None) -> RepoType:
        """Parse the `type` of a request body; absent means model. Raises BadName."""
        if text is None:
            return cls.MODEL
        for member in cls:
            if text in {member.value, member.singular}:
                return member
        raise BadName(f"Unknown repository type: {text!r}", hint="use model, dataset or space")


class RepoId(msgspec.Struct, frozen=True):
    """A repository's full name: type, namespace (user or organisation) and name."""

    type: RepoType
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Path of the repo on the web, without a leading slash."""
        return f"{self.type.url_prefix}{self.namespace}/{self.name}"


def check_repo_name(name: str) -> str:
    """Return `name` if the hub accepts it for a repository. Raises BadName."""
    if not _SEGMENT.match(name) or "--" in name or ".." in name:
        raise BadName(
            f"Invalid repository name: {name!r}", hint="letters, digits, '-', '_' and '.', at most 96"
        )
    if name[0] in "-." or name[-1] in "-." or name.lower().endswith((".git", ".ipynb")):
        raise BadName(
            f"Invalid repository name: {name!r}",
            hint="it may not start or end with '-' or '.', nor end in .git",
        )
    return name


def check_account_name(name: str) -> str:
    """Return `name` if a user or organisation may be called so. Raises BadName."""
    check_repo_name(name)
    if len(name) > 42 or "_" in name[:1]:
        raise BadName(
            f"Invalid account name: {name!r}", hint="at most 42 characters, starting with a letter or digit"
        )
    if name.lower() in RESERVED_ACCOUNTS:
        raise BadName(f"The name {name!r} is reserved")
    return name


def check_ref_name(name: str) -> str:
    """Return `name` if git accepts it as a branch or tag (git-check-ref-format). Raises BadName."""
    if not name or len(name.encode("utf-8", "surrogatepass")) > 244 or _REF_BAD.search(name):
        raise BadName(f"Invalid reference name: {name!r}")
    return name


def check_file_path(path: str) -> str:
    """Return `path` if a commit may hold a file there. Raises BadPath.

    Refuses what git refuses (empty, `.`, `..` and `.git` segments, in any case and in the spellings that
    file systems fold into `.git`), control characters, backslashes, leading slashes and over-long segments.
    """
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise BadPath(f"Invalid path: {path!r}", hint="paths are UTF-8") from None
    if not path or len(raw) > MAX_PATH_BYTES or _WINDOWS_UNSAFE.search(path):
        raise BadPath(f"Invalid path: {path[:100]!r}")
    for segment in path.split("/"):
        folded = segment.lower().rstrip(". ")
        if segment in {"", ".", ".."} or folded in {".git", "git~1"} or folded.startswith(".git:"):
            raise BadPath(f"Invalid path: {path[:100]!r}", hint="no empty, '.', '..' or '.git' segments")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise BadPath(f"Path segment longer than {MAX_SEGMENT_BYTES} bytes: {segment[:40]!r}…")
    return path
