"""Recipes from the YAML of other tools, as far as it maps, with an exact account of what did not."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seedstock.adapt.located import Located
from seedstock.adapt.yaml_lines import read_yaml
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.recipes.foreign import axolotl, mergekit, trl
from seedstock.recipes.foreign.source import Draft, Note
from seedstock.recipes.writing import render_document

FORMS = ("trl", "axolotl", "mergekit")


class Imported(msgspec.Struct, frozen=True):
    """The text of a recipe that is not pinned yet, the tool whose file it was, and what to know about it."""

    text: str
    form: str
    notes: tuple[Note, ...]


def import_yaml(text: str | bytes, name: str, *, form: str | None = None, op: str | None = None) -> Imported:
    """A recipe of a trl (Open-R1), Axolotl or mergekit file; `form` None: seen from its keys, and so is `op` (trl's).

    Raises Invalid with the line for values of the wrong type, UnsupportedFormat for files of other tools.
    """
    located = read_yaml(text, name)
    if not isinstance(located.value, dict):
        raise located.error((), "not a mapping of settings")
    form = form or _form(located)
    if form not in FORMS:
        raise Invalid(f"{form!r} is no form that is read", hint=f"one of {', '.join(FORMS)}")
    draft = Draft(located)
    readers: dict[str, Callable[[], None]] = {
        "trl": lambda: trl.read(draft, op),
        "axolotl": lambda: axolotl.read(draft),
        "mergekit": lambda: mergekit.read(draft),
    }
    readers[form]()
    return Imported(render_document(draft.document()), form, tuple(draft.finished()))


def _form(located: Located) -> str:
    keys = located.value.keys()
    if "merge_method" in keys or ("slices" in keys and "dtype" in keys):
        return "mergekit"
    if "model_name_or_path" in keys:
        return "trl"
    if "base_model" in keys:
        return "axolotl"
    raise UnsupportedFormat(
        f"{located.name} is no YAML of trl, Axolotl or mergekit that is recognised", hint="say which: --form"
    )
