"""The config: validated, completed, and cut into what each stage uses."""

import copy
import difflib
import json
from pathlib import Path

from jsonschema import Draft202012Validator

from . import DataError

# keys of earlier releases, and what they are called now
RENAMED = {
    "also_test": "cross_test",
    "batch": "batch_size",
    "cap": "max_images",
    "classes": "min_classes",
    "cleanup": "min_component_mm3",
    "focal_share": "focal_weight",
    "parts": "n_folds",
    "rate": "learning_rate",
}


def check(content, schema, where="config"):
    """Validate `content` against a JSON schema; raise DataError with one line on the first problem.

    An unknown key is named together with the nearest known one.
    """
    errors = sorted(Draft202012Validator(schema).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
    if not errors:
        return
    error = errors[0]
    key = ".".join([where, *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = next(name for name in error.instance if name not in known)
        if RENAMED.get(unknown) in known:
            raise DataError(f"{key}: the key {unknown!r} is called {RENAMED[unknown]!r} now; rename it")
        near = difflib.get_close_matches(str(unknown), known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        raise DataError(f"{key}: unknown key {unknown!r}; {hint} (config/README.md lists every key)")
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        raise DataError(f"{key}: the key {missing!r} is missing (config/README.md lists every key)")
    meaning = error.schema.get("description", "")
    raise DataError(f"{key}: {error.message}" + (f"; it is: {meaning}" if meaning else ""))


def merge(base, change):
    """A deep copy of `base` with the mapping `change` laid over it, mapping by mapping."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def experiment(config, name, seen=()):
    """The complete settings of one experiment: those of its `base`, and its own on top."""
    experiments = config["experiments"]
    if name not in experiments:
        near = difflib.get_close_matches(name, list(experiments), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(experiments)}"
        raise DataError(f"config: experiment {name!r} is not defined; {hint}")
    if name in seen:
        raise DataError(f"config.experiments.{name}: is its own base: {' -> '.join([*seen, name])}")
    own = experiments[name] or {}
    base = own.get("base")
    settings = experiment(config, base, (*seen, name)) if base else {}
    return merge(settings, {key: value for key, value in own.items() if key != "base"})


def _without_required(schema):
    """The same schema for a part of the settings: nothing in it has to be there."""
    if isinstance(schema, dict):
        # `required` is a keyword where it lists names
        return {
            key: _without_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list))
        }
    return schema


def load(config, folder):
    """Validate a config against the schemas in `folder`; return {experiment: complete settings} of `run`.

    Raises DataError naming the key.
    """
    folder = Path(folder)
    schema = json.loads((folder / "config.schema.json").read_text(encoding="utf-8"))
    of_experiment = json.loads((folder / "experiment.schema.json").read_text(encoding="utf-8"))
    check(config, schema)
    partial = _without_required(of_experiment)
    partial["properties"]["base"] = {"type": "string"}
    for name, own in config["experiments"].items():
        check(own or {}, partial, f"config.experiments.{name}")
    experiment(config, config["baseline"])  # is defined
    resolved = {}
    for name in config["run"]:
        settings = experiment(config, name)
        check(settings, of_experiment, f"config.experiments.{name}")
        for key, table in (("slices", "slices"), ("labels", "labels"), ("filter", "filters")):
            if settings[key] not in config[table]:
                raise DataError(
                    f"config.experiments.{name}.{key}: {settings[key]!r} is not defined under {table}; "
                    f"known: {', '.join(config[table])}"
                )
        split = settings["split"]
        if split["validation"] == "test" and name != "released":
            raise DataError(
                f"config.experiments.{name}.split.validation: `test` lets the test set choose the model; "
                "only the experiment named released may do that, to reproduce the paper; use `own`"
            )
        if settings["cross_test"] and split["kind"] == "slice":
            raise DataError(
                f"config.experiments.{name}.cross_test: slices of another sequence show patients that a split of "
                "slices has in training; use split.kind patient or official, or leave cross_test empty"
            )
        unseen = split["kind"] != "slice" and split["validation"] == "own"
        if settings["prediction"]["min_component_mm3"] and not unseen:
            raise DataError(
                f"config.experiments.{name}.prediction.min_component_mm3: what to drop is chosen on whole volumes of "
                "validation patients, which this split does not have; use split.kind patient or official, or leave it "
                "empty"
            )
        beyond = [fold for fold in settings["folds"] if fold >= split["n_folds"]]
        if beyond:
            raise DataError(
                f"config.experiments.{name}.folds: there is no fold {beyond[0]} in a split of {split['n_folds']} "
                "parts; folds count from 0"
            )
        resolved[name] = settings
    return resolved
