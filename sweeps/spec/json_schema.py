"""JSON Schema of a spec, by which editors complete, explain and check its YAML file."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import TypeAdapter

from hsplid_core.config.methods import METHODS
from search_spaces import SPACES
from sweeps.spec.allowed_values import fields_of
from sweeps.spec.sweep_spec import PRETRAINING_SECTIONS, SweepSpec

_ENTRY = re.compile(
    r"^    (?P<name>\w+): (?P<text>.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL
)


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(_without_titles(spec_schema()), indent=1) + "\n"


def _without_titles(node: Any) -> Any:
    """Leave out what pydantic makes of each key's name, and which says nothing new."""
    if isinstance(node, dict):
        # A key of a spec may be called so, too, and has a schema, no text.
        return {
            key: _without_titles(value)
            for key, value in node.items()
            if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(each) for each in node] if isinstance(node, list) else node


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a sweep's YAML file."""
    models: list[Any] = [SweepSpec, *METHODS.values()]
    adapters = [(str(i), "validation", TypeAdapter(model)) for i, model in enumerate(models)]
    references, shared = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    sections: dict[str, Any] = shared["$defs"]
    for model in _sections(models):
        _explain(sections[model.__name__], model)
    root = sections[SweepSpec.__name__]
    root["properties"]["method"] = _methods(
        {name: references[str(i + 1), "validation"] for i, name in enumerate(METHODS)}
    )
    own = {name: root["properties"][name] for name in PRETRAINING_SECTIONS}
    root["properties"]["pretraining"] |= {"properties": own, "additionalProperties": False}
    search = sections["SearchSpec"]["properties"]
    search["space"]["anyOf"] = [{"enum": sorted(SPACES)}, {"pattern": ":"}, {"type": "null"}]
    ranges = sections["RangeSpec"]
    sections["RangeSpec"] = {"anyOf": [{"type": "array", "minItems": 1}, ranges]}
    replicates = sections["ReplicatesSpec"]
    sections["ReplicatesSpec"] = {"anyOf": [replicates["properties"]["every"], replicates]}
    # The same keys, of which it gives some; values that it replaces need not be whole.
    demo = {
        "type": "object",
        "description": "Replaces the values above while data.root is null.",
        "properties": {**root["properties"], "objectives": {"type": "array"}},
        "additionalProperties": False,
    }
    root["properties"]["demo"] = {"anyOf": [demo, {"type": "null"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{SweepSpec.__name__}",
        "$defs": dict(sorted(sections.items())),
    }


def _methods(references: dict[str, Any]) -> dict[str, Any]:
    nullable = {name: {"anyOf": [ref, {"type": "null"}]} for name, ref in references.items()}
    return {
        "type": "object",
        "description": "The training objective is the sum of these.",
        "minProperties": 1,
        "properties": nullable,
        "patternProperties": {":": {"description": "A class of one's own, package.module:Class."}},
        "additionalProperties": False,
    }


def _sections(models: list[Any]) -> list[Any]:
    """Return all classes whose fields are keys of a spec, each once."""
    found: dict[Any, None] = {}
    waiting = [*models]
    while waiting:
        kind = waiting.pop()
        inner = [kind] if isinstance(kind, type) and fields_of(kind) else _members(kind)
        for each in inner:
            if isinstance(each, type) and fields_of(each):
                if each not in found:
                    found[each] = None
                    waiting += fields_of(each).values()
            else:
                waiting.append(each)
    return [*found]


def _members(kind: Any) -> list[Any]:
    return [each for each in getattr(kind, "__args__", ()) if each is not Ellipsis]


def _explain(section: dict[str, Any], kind: Any) -> None:
    """Give the keys of a section what its class says of them."""
    doc = inspect.getdoc(kind) or ""
    section["description"] = doc.partition("\n")[0]
    attributes = doc.partition("Attributes:\n")[2]
    for entry in _ENTRY.finditer(attributes):
        if (key := section.get("properties", {}).get(entry["name"])) is not None:
            key["description"] = " ".join(entry["text"].replace("``", "").split())
