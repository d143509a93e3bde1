"""Validate the config, complete it, and resolve the settings of each experiment."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators

from . import DataError
from .images.recipes import RECIPES
from .learning.losses import LOSSES
from .learning.networks import NETWORKS
from .learning.normalisation import NORMALISATIONS
from .registry import module_of

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

# JSON takes 1.0 for a whole number; here it would become part of a path, or the length of a range
Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)
NUMBER = re.compile(r"\s*[-+]?\d*\.?\d+(e[-+]?\d+)?\s*", re.I)
# a value on the command line whose end YAML takes for a comment
CUT = re.compile(r"(?P<key>[A-Za-z_]+)=(?P<value>(?P<left>[^'\"\[{\s][^#]*\s)#.*)")


def check(content: Any, schema: Mapping[str, Any], where: str = "config") -> None:
    """Validate `content` against a JSON schema; raise DataError with one line on the first problem.

    An unknown key is named together with the nearest known one.
    """
    errors = sorted(Validator(schema).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
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
    hints = [f"it is: {meaning}"] * bool(meaning)
    if error.validator == "type" and "string" in error.validator_value and not isinstance(error.instance, dict | list):
        hints += ["put it in quotes"] * (error.instance is not None)
        if len(error.absolute_path) == 1 and where == "config" and error.instance is not None:
            hints.append(f"on the command line in two kinds: --config '{error.absolute_path[0]}=\"...\"'")
    wants_number = error.validator == "type" and error.validator_value in ("number", "integer")
    if wants_number and isinstance(error.instance, str) and NUMBER.fullmatch(error.instance):
        how = ", with a point and a sign, as in 1.0e-3" if "e" in error.instance.lower() else ""
        how = how if error.validator_value == "number" else ", point or e, as in 20"
        hints.append(f"in a file write it without quotes{how}")
        hints.append("within brackets --config gives text: put this into a file and name it by --configfile")
    if error.validator_value == "integer" and isinstance(error.instance, float) and error.instance.is_integer():
        hints.append(f"write {error.instance:.0f}")
    if error.validator_value == "string" and error.instance is None and not {"enum", "pattern"} & error.schema.keys():
        hints.append('for none write ""')
    raise DataError("; ".join([f"{key}: {error.message}", *hints]))


def check_cut(arguments: Iterable[str]) -> None:
    """Raise DataError for a `key=value` of the command line of which YAML would take the end for a comment."""
    for argument in arguments:
        if match := CUT.fullmatch(argument):
            raise DataError(
                f"--config {argument}: YAML takes ` #` and what follows for a comment, so that {match['key']} would be "
                f"{match['left'].strip()!r}; put it in two kinds of quotes: "
                f"--config '{match['key']}=\"{match['value']}\"'"
            )


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `base`, updated recursively with the mapping `change`."""
    result = dict(copy.deepcopy(base))
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def with_defaults(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The config file `path`, updated with `config`; label recipes get the defaults of their options. A baseline that
    only the defaults name, and that is not run, becomes empty."""
    defaults = yaml.safe_load(path.read_text(encoding="utf-8"))
    whole = merge(defaults, config)
    for key, default in defaults.items():
        if isinstance(default, bool) and str(whole[key]).lower() in ("true", "false"):
            whole[key] = str(whole[key]).lower() == "true"  # --config gives text for all but True and False
    if "baseline" not in config and isinstance(whole["run"], list) and whole["baseline"] not in whole["run"]:
        whole["baseline"] = ""
    recipes = whole["labels"] if isinstance(whole["labels"], dict) else {}
    for name, recipe in recipes.items():
        variant = RECIPES.variants.get(str(recipe.get("method"))) if isinstance(recipe, dict) else None
        if variant:
            recipes[name] = {**{key: each.default for key, each in variant.options.items()}, **recipe}
    return whole


def _check_keys(content: Any, where: str = "config") -> None:
    """Raise DataError for a key that YAML read as a number, a date or a truth value: 007 would be 7."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if not isinstance(key, str):
            raise DataError(f"{where}: YAML reads the key {key} as {type(key).__name__}; put it in quotes, as written")
        _check_keys(value, f"{where}.{key}")


def _inherited(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `base` that an experiment with the settings `own` inherits. If `own` names another network or
    loss, it inherits only options that this one has too; a network or loss of the user's own inherits none."""
    kept = copy.deepcopy(dict(base))
    for key, registry in (("network", NETWORKS), ("loss", LOSSES)):
        name = (own.get(key) or {}).get("name")
        if name is None or key not in kept or name == kept[key].get("name"):
            continue
        known = registry.variants[name].options if name in registry.variants else {}
        options = kept[key]["options"] if key == "network" else kept[key]
        for option in set(options) - set(known) - {"name"}:
            del options[option]
    return kept


def _parent(own: Mapping[str, Any]) -> str | None:
    """The experiment from which one with the settings `own` inherits."""
    return own.get("base") or own.get("split_of")


def _check_defined(key: str, name: str, experiments: Iterable[str]) -> None:
    """Raise DataError if `key` names an experiment that is not defined."""
    known = list(experiments)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise DataError(f"{key}: experiment {name!r} is not defined; {hint}")


def experiment(config: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The complete settings of one experiment: those of its `base`, updated with its own."""
    experiments = config["experiments"]
    if name in seen:
        raise DataError(f"config.experiments.{name}: is its own base: {' -> '.join([*seen, name])}")
    own = experiments[name] or {}
    parent = _parent(own)
    if parent:
        key = "base" if own.get("base") else "split_of"
        _check_defined(f"config.experiments.{name}.{key}", parent, experiments)
    base = experiment(config, parent, (*seen, name)) if parent else {}
    if own.get("split_of"):  # one set of predictions, of any sequences, by what this experiment says of them itself
        base = {key: value for key, value in base.items() if key not in (*SOURCES, "labels_as", "split_of")}
        base = {**base, "seeds": base["seeds"][:1], "networks_of": "", "train_on": "each", "cross_test": []}
    return merge(_inherited(base, own), {key: value for key, value in own.items() if key != "base"})


def _without_required(schema: Any) -> Any:
    """The same schema without required keys, to check incomplete settings."""
    if isinstance(schema, dict):
        # `required` is the schema keyword if it holds a list; otherwise it is a property of that name
        return {
            key: _without_required(value)
            for key, value in schema.items()
            if not (key == "required" and isinstance(value, list))
        }
    return schema


def _named(config: Mapping[str, Any], experiment: Any, part: str) -> str:
    """Name of the `network` or `loss` of an experiment or of its bases; empty if an invalid config gives none."""
    seen: set[Any] = set()
    while isinstance(experiment, str) and experiment not in seen:
        own = config["experiments"].get(experiment)
        if not isinstance(own, dict):
            break
        given = own.get(part)
        if isinstance(given, dict) and isinstance(given.get("name"), str):
            return str(given["name"])
        seen.add(experiment)
        experiment = _parent(own)
    return ""


def experiment_schema(config: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """The schema of an experiment, with the options of all registered networks and losses. A network or loss of the
    user's own may have any options, because it is not imported here."""
    schema = json.loads((folder / "experiment.schema.json").read_text(encoding="utf-8"))
    network, loss = schema["properties"]["network"]["properties"]["options"], schema["properties"]["loss"]
    network["properties"] |= NETWORKS.options_schema()
    loss["properties"] |= LOSSES.options_schema()
    network["additionalProperties"] = module_of(_named(config, name, "network")) is not None
    loss["additionalProperties"] = module_of(_named(config, name, "loss")) is not None
    return schema


def config_schema(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The schema of the config, with the options of all registered label recipes, or any if one is the user's own."""
    schema = json.loads((folder / "config.schema.json").read_text(encoding="utf-8"))
    recipe = schema["properties"]["labels"]["additionalProperties"]
    recipe["properties"] |= RECIPES.options_schema()
    given = config.get("labels")
    methods = (
        [each.get("method") for each in given.values() if isinstance(each, dict)] if isinstance(given, dict) else []
    )
    recipe["additionalProperties"] = any(module_of(str(method)) for method in methods)
    return schema


def _check_recipe(key: str, recipe: Mapping[str, Any]) -> None:
    RECIPES.check(recipe["method"], f"{key}.method")
    if variant := RECIPES.variants.get(recipe["method"]):
        _check_options(key, {k: v for k, v in recipe.items() if k != "method"}, variant.options, recipe["method"])


def _check_options(key: str, given: Mapping[str, Any], known: Mapping[str, Any], name: str) -> None:
    unknown = [option for option in given if option not in known]
    if unknown:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise DataError(f"{key}.{unknown[0]}: {name} has no option {unknown[0]!r}; {has}")


def variants(settings: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The name and the options of an experiment's network, loss and normalisation."""
    network, loss = settings["network"], settings["loss"]
    return {
        "network": (network["name"], network["options"]),
        "loss": (loss["name"], {option: value for option, value in loss.items() if option != "name"}),
        "normalisation": (settings["normalisation"], {}),
    }


def _check_variants(key: str, settings: Mapping[str, Any]) -> None:
    """Raise DataError for an unknown network, loss or normalisation, or an option that the chosen one lacks."""
    registries = {"network": NETWORKS, "loss": LOSSES, "normalisation": NORMALISATIONS}
    for part, (name, options) in variants(settings).items():
        registries[part].check(name, f"{key}.{part}" + ("" if part == "normalisation" else ".name"))
        if variant := registries[part].variants.get(name):
            _check_options(f"{key}.{part}" + (".options" if part == "network" else ""), options, variant.options, name)


def _bases(config: Mapping[str, Any], name: str) -> list[str]:
    """An experiment, its base or the one whose split it has, the base of that, and so on."""
    found = [name]
    while parent := _parent(config["experiments"][found[-1]] or {}):
        found.append(parent)
    return found


def check_container(image: str, methods: Iterable[str]) -> None:
    """Raise DataError unless jobs run in an image exactly where one is named. methods: Snakemake's deployment methods
    that were asked for."""
    inside = "apptainer" in methods
    if inside and not image:
        raise DataError("jobs are to run in a container, but config.container names no image, such as lumbarflow.sif")
    if image and not inside:
        raise DataError(
            f"config.container: no job would run in {image}; add --workflow-profile profiles/container, or "
            "--software-deployment-method apptainer to another profile"
        )


# What an experiment may change and still use the networks of another one.
AFTER_TRAINING = ("networks_of", "cross_test", "prediction", "evaluation")


def _check_networks(key: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that the experiment whose networks this one uses is run, and would train the same ones."""
    other = settings["networks_of"]
    if not other:
        return
    key = f"{key}.networks_of"
    _check_defined(key, other, config["experiments"])
    if other not in config["run"]:
        raise DataError(f"{key}: {other!r} is not run; add it to config.run, or set networks_of to an empty text")
    theirs = experiment(config, other)
    if theirs["networks_of"] or is_imported(theirs):
        instead = (
            f"{theirs['networks_of']!r}"
            if theirs["networks_of"] not in ("", other, key.split(".")[2])
            else "one that trains"
        )
        raise DataError(f"{key}: {other!r} trains no networks of its own; name {instead}")

    def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
        split = {name: value for name, value in settings["split"].items() if name != "filter_test"}
        return {**{name: value for name, value in settings.items() if name not in AFTER_TRAINING}, "split": split}

    mine, trained = decisive(settings), decisive(theirs)
    for name in mine:
        if mine[name] != trained[name]:
            raise DataError(
                f"{key}: the networks of {other!r} were trained with another `{name}` ({trained[name]}, here "
                f"{mine[name]}); only split.filter_test, cross_test, prediction and evaluation may differ; set "
                "networks_of to an empty text to train"
            )


# What an experiment of predictions may say; what it says of training would have no effect.
SOURCES = ("predictions", "program", "nnunet")
IMPORTED = (*SOURCES, "labels_as", "split_of", "folds", "evaluation")


def is_imported(settings: Mapping[str, Any]) -> bool:
    """Whether an experiment scores label volumes that another program predicted."""
    return any(name in settings for name in SOURCES)


def _check_imported(key: str, own: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check an experiment of predictions; own: what it says itself."""
    if not is_imported(settings):
        for name in ("split_of", "labels_as"):
            if name in settings:
                raise DataError(f"{key}.{name}: is for predictions of another program; name these by `predictions`")
        return
    if "split_of" not in settings:
        raise DataError(f"{key}.split_of: is missing; it names the experiment on whose test patients to score")
    given = [name for name in SOURCES if name in settings]
    if len(given) > 1:
        raise DataError(f"{key}: has {' and '.join(given)}; keep one")
    for name in own:
        if name not in IMPORTED:
            raise DataError(
                f"{key}.{name}: has no effect on predictions of another program; take it away (an experiment of "
                f"predictions has {', '.join(IMPORTED)})"
            )
    if settings["split"]["kind"] == "slice":
        raise DataError(
            f"{key}.split_of: {settings['split_of']} splits slices, so that no whole volume is a test volume; name an "
            "experiment with a split by patients"
        )


def _check_evaluation(key: str, evaluation: Mapping[str, Any]) -> None:
    """Refuse metrics that no grid has."""
    if evaluation["surface"] == "stack" and evaluation["elements"] == "area":
        raise DataError(
            f"{key}.evaluation.elements: `area` is not measured over a stack, in which the release counts voxels; use "
            "elements: voxels, or surface: slice"
        )
    if evaluation["grid"] == "network":
        return
    if evaluation["surface"] == "stack":
        raise DataError(
            f"{key}.evaluation.surface: `stack` measures distances in pixels over slices of several volumes, but "
            "grid `source` has millimetres of its own in each; use surface: slice, or grid: network"
        )
    if evaluation["dice"] == "soft":
        raise DataError(
            f"{key}.evaluation.dice: `soft` is made of the network's probabilities, which grid `source` does not have; "
            "use dice: hard, or grid: network"
        )


def _check_split(key: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse a split that leaks, that leaves nothing to train on, or that lacks what training needs."""
    split = settings["split"]
    if split["validation"] == "test" and "released" not in _bases(config, key.rpartition(".")[2]):
        raise DataError(
            f"{key}.split.validation: `test` lets the test set choose the model; only `released`, which reproduces the "
            "paper, and experiments based on it may do that; use `own`, or `base: released`"
        )
    if settings["network"]["neighbours"] and split["kind"] == "slice":
        raise DataError(
            f"{key}.network.neighbours: the neighbours of a test slice are in training in a split of slices; use "
            "split.kind patient or official, or neighbours: 0"
        )
    if settings["cross_test"] and split["kind"] == "slice":
        raise DataError(
            f"{key}.cross_test: slices of another sequence show patients that a split of slices has in training; use "
            "split.kind patient or official, or leave cross_test empty"
        )
    if split["kind"] == "official" and split["validation"] != "own" and len(settings["folds"]) > 1:
        raise DataError(
            f"{key}.folds: official folds differ in their validation patients alone, so that with split.validation: "
            f"{split['validation']} all {len(settings['folds'])} would be one training, counted as so many; keep one, "
            "or use validation: own; seeds repeat a training"
        )
    if split["validation"] == "none" and settings["training"]["schedule"] == "plateau":
        raise DataError(f"{key}.training.schedule: `plateau` needs validation, which split.validation: none leaves out")
    if split["validation"] != "own" and "nnunet" in settings:
        raise DataError(f"{key}.split.validation: nnU-Net needs validation patients; let split_of name another split")
    beyond = [fold for fold in settings["folds"] if fold >= split["n_folds"]]
    if beyond:
        raise DataError(
            f"{key}.folds: there is no fold {beyond[0]} in a split of {split['n_folds']} parts; folds count from 0"
        )
    least = 3 if split["validation"] == "own" and split["kind"] != "official" else 2
    if split["n_folds"] < least:
        raise DataError(
            f"{key}.split.n_folds: {split['n_folds']} parts leave none to train on, since one is for test and one for "
            f"validation; use at least {least}"
        )


def chosen(prediction: Mapping[str, Any]) -> list[str]:
    """The settings of `prediction` that leave something to be chosen on validation volumes."""
    smallest = prediction["min_component_mm3"]
    asked = {
        "decision": prediction["decision"] == "offsets",
        "min_component_mm3": bool(smallest) and not isinstance(smallest, Mapping),
    }
    return [name for name, is_asked in asked.items() if is_asked]


def _check_prediction(key: str, settings: Mapping[str, Any]) -> None:
    """Refuse what is chosen on, or applied to, whole volumes where the split has none."""
    split, prediction = settings["split"], settings["prediction"]
    unseen = split["kind"] != "slice" and split["validation"] == "own"
    for name in [] if unseen else chosen(prediction):
        raise DataError(
            f"{key}.prediction.{name}: is chosen on whole volumes of validation patients, which this split does not "
            "have; use split.kind patient or official with validation: own, or leave it at "
            + ("highest" if name == "decision" else "[]")
        )
    for name, none in (("slice_smoothing_mm", 0), ("min_component_mm3", [])):
        if split["kind"] == "slice" and prediction[name]:
            raise DataError(
                f"{key}.prediction.{name}: is applied to whole volumes, which a split of slices does not test; use "
                f"split.kind patient or official, or leave it at {none}"
            )


def _check_experiment(key: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check what a schema cannot express about one experiment. Raises DataError naming the key."""
    for name, table in (("slices", "slices"), ("labels", "labels"), ("filter", "filters")):
        if settings[name] not in config[table]:
            raise DataError(
                f"{key}.{name}: {settings[name]!r} is not defined under {table}; known: {', '.join(config[table])}"
            )
    foreign = [name for name in settings["cross_test"] if name not in config["sequences"]]
    if foreign:
        raise DataError(
            f"{key}.cross_test: {foreign[0]!r} is not among config.sequences ({', '.join(config['sequences'])}); add "
            "it there, or take it away here"
        )
    own = config["experiments"][key.rpartition(".")[2]] or {}  # what is inherited may well have no effect
    if own.get("cross_test") and settings["train_on"] == "all":
        raise DataError(
            f"{key}.cross_test: a network that is trained on all sequences knows each of them; use train_on: each, or "
            "leave cross_test empty"
        )
    if (own.get("augmentation") or {}).get("reverse") and not settings["network"]["neighbours"]:
        raise DataError(
            f"{key}.augmentation.reverse: exchanges the neighbours of a slice, and network.neighbours is 0; set one of "
            "them"
        )
    _check_split(key, settings, config)
    _check_prediction(key, settings)
    _check_evaluation(key, settings["evaluation"])
    _check_networks(key, settings, config)


def load(config: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Validate a config against the schemas in `folder`; return {experiment: complete settings} of `run`.

    Raises DataError naming the key.
    """
    folder = Path(folder)
    _check_keys(config)
    check(config, config_schema(config, folder))
    for name in config["sequences"]:
        if sum(name.lower() == other.lower() for other in config["sequences"]) > 1:
            raise DataError(f"config.sequences: {name!r} stands there twice, in capitals and small letters; use one")
    for name, recipe in config["labels"].items():
        _check_recipe(f"config.labels.{name}", recipe)
    for name, recipe in config["slices"].items():
        darkest, brightest = recipe["percentiles"]
        if darkest >= brightest:
            raise DataError(
                f"config.slices.{name}.percentiles: [{darkest}, {brightest}] do not grow, so that no grey would be "
                "left; the first becomes black, the second white, as in [0.5, 99.5]"
            )
    for name, each in config["filters"].items():
        is_share = each["criterion"] == "foreground_share"
        if each["criterion"] != "none" and (each["limit"] <= 1) != is_share:
            raise DataError(
                f"config.filters.{name}.limit: {each['limit']} with criterion {each['criterion']}: a foreground_share "
                "is at most 1, as in 0.55, a ratio above 1, as in 55; set a limit of its kind"
            )
    for name, own in config["experiments"].items():
        partial = _without_required(experiment_schema(config, name, folder))
        partial["properties"]["base"] = {"type": "string"}
        check(own or {}, partial, f"config.experiments.{name}")
    baseline = [config["baseline"]] if config["baseline"] else []
    for key, names in (("run", config["run"]), ("ladder", config["ladder"]), ("baseline", baseline)):
        for name in names:
            _check_defined(f"config.{key}", name, config["experiments"])
    resolved = {}
    for name in config["run"]:
        key, settings = f"config.experiments.{name}", experiment(config, name)
        _check_imported(key, config["experiments"][name] or {}, settings)
        check(settings, experiment_schema(config, name, folder), key)
        _check_variants(key, settings)
        _check_experiment(key, settings, config)
        # in order: nnU-Net counts folds by their place, and Snakemake takes no other order for a change
        resolved[name] = {**settings, "folds": sorted(settings["folds"])}
    if config["baseline"] and config["baseline"] not in config["run"]:
        raise DataError(
            f"config.baseline: {config['baseline']!r} is not run, so that nothing can be compared with it; add it to "
            f"config.run, or choose one of {', '.join(config['run'])}"
        )
    return resolved


def modules(chosen: Iterable[Any]) -> list[str]:
    """Names of the user's own modules in these settings of an experiment (network, loss, normalisation) or label
    recipes."""
    names = [each.get("name") or each["method"] if isinstance(each, dict) else each for each in chosen]
    return [module for module in map(module_of, names) if module]
