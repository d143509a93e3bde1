import copy

import pytest
import yaml
from conftest import ROOT

from lumbarflow import DataError, settings

SCHEMAS = ROOT / "workflow/schemas"


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))


def test_an_experiment_takes_the_rest_from_its_base(config):
    loaded = settings.load(config, SCHEMAS)
    released, sound = loaded["released"], loaded["sound"]
    assert sound["network"]["image_size"] == released["network"]["image_size"]
    assert (released["network"]["resize"], sound["network"]["resize"]) == ("linear", "area")
    assert "base" not in sound


def test_the_released_protocol_is_the_papers(config):
    spider = yaml.safe_load((ROOT / "config/spider.yaml").read_text(encoding="utf-8"))
    loaded = settings.load(settings.merge(config, spider), SCHEMAS)
    assert list(loaded) == ["released", "disjoint", "patient", "lut", "honest", "sound"]
    released = loaded["released"]
    assert released["network"] == {
        "name": "paper",
        "image_size": [256, 256],
        "resize": "linear",
        "neighbours": 0,
        "options": {"width": 16, "momentum": 0.99},
    }
    training = {
        "learning_rate": 0.001,
        "schedule": "constant",
        "batch_size": 8,
        "epochs": 100,
        "patience": 20,
        "averaging": 0,
        "precision": "float32",
    }
    assert released["training"] == training
    loss = {"name": "combined", "focal_weight": 0.6, "alpha": "none", "gamma": 4.0}
    assert released["loss"] == {**loss, "focal_reduction": "mean", "dice_over": "joint"}
    # one change a step
    assert loaded["disjoint"] == settings.merge(released, {"split": {"validation": "own"}})
    assert loaded["patient"] == settings.merge(loaded["disjoint"], {"split": {"kind": "official"}})
    assert loaded["lut"] == settings.merge(loaded["patient"], {"labels": "lut"})
    measured = {"split": {"filter_test": False}, "evaluation": loaded["sound"]["evaluation"]}
    assert loaded["honest"] == settings.merge(loaded["lut"], {"networks_of": "lut", **measured})
    assert loaded["honest"]["split"] == loaded["sound"]["split"]


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["experimnts"], 1, r"unknown key 'experimnts'; did you mean 'experiments'"),
        (
            ["experiments", "sound", "split", "n_fold"],
            3,
            r"config\.experiments\.sound\.split: unknown key 'n_fold'.*'n_folds'",
        ),
        (
            ["experiments", "released", "training", "learning_rate"],
            "x",
            r"training\.learning_rate: 'x' is not of type 'number'.*Adam",
        ),
        (["experiments", "sound", "network", "name"], "unett", r"sound\.network\.name: 'unett' is not known.*'unet'"),
        (["experiments", "sound", "normalisation"], "zscor", r"sound\.normalisation: 'zscor' is not known.*'zscore'"),
        (["experiments", "sound", "network", "options"], {"depth": 3}, r"network\.options: unknown key 'depth'"),
        (
            ["experiments", "sound", "loss", "name"],
            "x y:z",
            r"sound\.loss\.name: 'x y:z' is not known; known: c",
        ),
        (["labels", "lut", "stretch"], "slice", r"config\.labels\.lut\.stretch: lut has no option 'stretch'"),
        (["labels", "lut", "method"], "lutt", r"config\.labels\.lut\.method: 'lutt' is not known.*'lut'"),
        (["experiments", "sound", "split", "parts"], 3, r"sound\.split: the key 'parts' is called 'n_folds' now"),
        (["experiments", "released", "training", "rate"], 1, r"training: the key 'rate' is called 'learning_rate' now"),
        (["experiments", "released", "training", "batch"], 1, r"the key 'batch' is called 'batch_size' now"),
        (["experiments", "released", "loss", "focal_share"], 1, r"the key 'focal_share' is called 'focal_weight' now"),
        (["experiments", "released", "prediction", "cleanup"], [], r"'cleanup' is called 'min_component_mm3' now"),
        (
            ["overrides"],
            {12: {"orientation": "LPS"}},
            r"config\.overrides: YAML reads the key 12 as int; put it in quotes",
        ),
        (["root"], 202405, r"config\.root: 202405 is not of type .*put it in quotes.* --config 'root=\"\.\.\.\"'"),
        (["experiments", "released", "also_test"], [], r"'also_test' is called 'cross_test' now"),
        (["filters", "paper", "classes"], 4, r"config\.filters\.paper: the key 'classes' is called 'min_classes' now"),
        (["filters", "paper", "cap"], 4, r"the key 'cap' is called 'max_images' now"),
        (["run"], ["sond"], r"config\.run: experiment 'sond' is not defined; did you mean 'sound'"),
        (["experiments", "sound", "base"], "releasd", r"sound\.base: experiment 'releasd' is .* mean 'released'"),
        (["experiments", "sound", "base"], ["released"], r"sound\.base: \['released'\] is not of type 'string'"),
        (["experiments", "paper"], {"base": "sound"}, r"config\.experiments: 'paper' does not match.*not `paper`"),
        (["ladder"], ["released", "sound", "sound"], r"config\.ladder: .*non-unique"),
        (["baseline"], None, r"config\.baseline: None is not of type 'string'.*for none write \"\"$"),
        (["package", "licence"], 4.0, r"config\.package\.licence: 4\.0 is not .*put it in quotes$"),
        (["run"], [], r"config\.run"),
        (["experiments", "sound", "slices"], "nice", r"sound\.slices: 'nice' is not defined under slices"),
        (["experiments", "sound", "base"], "sound", r"is its own base"),
        (
            ["experiments", "own"],
            {"split": {"validation": "test"}},
            r"own\.split\.validation: `test` lets.*base: released",
        ),
        (
            ["experiments", "own"],
            {"split": {"validation": "none"}, "training": {"schedule": "plateau"}},
            r"own\.training\.schedule: `plateau` needs validation",
        ),
        (
            ["experiments", "own"],
            {"split": {"validation": "none"}, "prediction": {"decision": "offsets"}},
            r"own\.prediction\.decision: is chosen on .* with validation: own",
        ),
        (["ladder"], ["released", "lutt"], r"config\.ladder: experiment 'lutt' is not defined; did you mean 'lut'"),
        (["baseline"], "lut", r"config\.baseline: 'lut' is not run.*one of released, sound"),
        (["slices", "sound", "percentiles"], [99, 1], r"config\.slices\.sound\.percentiles: \[99, 1\] do not grow"),
        (["slices", "sound", "percentiles"], [5, 5], r"config\.slices\.sound\.percentiles: \[5, 5\] do not grow"),
        (
            ["experiments", "released", "evaluation", "grid"],
            "source",
            r"released\.evaluation\.surface: `stack` measures",
        ),
        (["experiments", "sound", "evaluation", "surface"], "stack", r"sound\.evaluation\.surface: `stack` measures"),
        (["experiments", "sound", "evaluation", "dice"], "soft", r"sound\.evaluation\.dice: `soft` is made of"),
        (["experiments", "sound", "split", "n_folds"], 2, r"sound\.split\.n_folds: 2 parts leave none to train on"),
        (["experiments", "sound", "networks_of"], "lut", r"sound\.networks_of: 'lut' is not run"),
        (
            ["experiments", "sound", "networks_of"],
            "released",
            r"networks of 'released' were trained with another `slices`",
        ),
        (["experiments", "released", "cross_test"], ["t2"], r"released\.cross_test: slices of another sequence"),
        (["experiments", "sound", "folds"], [7], r"there is no fold 7"),
        (
            ["experiments", "sound"],
            {"base": "released", "split": {"kind": "official", "validation": "none"}, "folds": [0, 1]},
            r"sound\.folds: .* all 2 would be one training, counted as so many",
        ),
        (
            ["experiments", "sound"],
            {"base": "released", "split": {"kind": "patient"}, "train_on": "all", "cross_test": ["t1"]},
            r"sound\.cross_test: a network that is trained on all sequences knows each",
        ),
        (
            ["experiments", "sound", "augmentation"],
            {"reverse": 0.5},
            r"sound\.augmentation\.reverse: .* network\.neighbours is 0",
        ),
        (
            ["filters", "paper", "criterion"],
            "foreground_share",
            r"filters\.paper\.limit: 55 with criterion foreground_share: .* at most 1, as in 0\.55",
        ),
        (["filters", "paper", "limit"], 0.5, r"filters\.paper\.limit: 0\.5 with criterion image_ratio"),
        (["sequences"], ["t1", "paper"], r"config\.sequences\.1: 'paper' does not match"),
        (
            ["experiments", "released", "prediction", "min_component_mm3"],
            [100],
            r"released\.prediction\.min_component_mm3: is chosen on whole volumes",
        ),
        (
            ["experiments", "released", "prediction", "min_component_mm3"],
            {"ivd": 100},
            r"released\.prediction\.min_component_mm3: is applied to whole volumes.* leave it at \[\]",
        ),
        (
            ["experiments", "released", "prediction", "slice_smoothing_mm"],
            1,
            r"released\.prediction\.slice_smoothing_mm: is applied to whole volumes.* leave it at 0",
        ),
        (["experiments", "released", "loss"], None, r"config\.experiments\.released\.loss"),
        (["experiments", "gamma-04"], {}, r"config\.experiments: 'gamma-04' does not match.*letters, digits and _"),
        (["device"], "tpu", r"config\.device: 'tpu' is not one of"),
        (
            ["experiments", "sound", "training", "learning_rate"],
            "1e-3",
            r"in a file .* point and a sign, as in 1\.0e-3",
        ),
        (["experiments", "sound", "training", "epochs"], "1e2", r"without quotes, point or e, as in 20"),
        (["experiments", "sound", "slices"], 5, r"sound\.slices: 5 is not of type 'string'.*put it in quotes$"),
        (["phantom", "patients"], 12.0, r"config\.phantom\.patients: 12\.0 is not of .*; write 12$"),
        (["experiments", "sound", "folds"], [1.0], r"sound\.folds\.0: 1\.0 is not of type 'integer'"),
        (["phantom", "patients"], "2", r"config\.phantom\.patients: '2' is not .*name it by --configfile"),
    ],
)
def test_a_bad_config_names_the_key(config, keys, value, message):
    part = config
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    if keys == ["experiments", "own"]:
        # not based on released: all of sound's settings, written out
        own = {key: each for key, each in settings.experiment(config, "sound").items()}
        part["own"], config["run"] = settings.merge(own, value), ["sound", "own"]
    with pytest.raises(DataError, match=message) as caught:
        settings.load(config, SCHEMAS)
    assert "\n" not in str(caught.value)


def test_the_papers_other_readings_may_choose_on_the_test_set_too(config):
    config["experiments"]["gamma04"] = {"base": "released", "loss": {"gamma": 0.4}}
    config["run"] = ["released", "gamma04", "sound"]
    assert settings.load(config, SCHEMAS)["gamma04"]["split"]["validation"] == "test"


@pytest.mark.parametrize(("said", "meant"), [("true", True), ("False", False), (True, True), ("yes", "yes")])
def test_truth_values_of_the_command_line(said, meant, config):
    """--config viewer=true reaches the workflow as text."""
    whole = settings.with_defaults({"viewer": said}, ROOT / "config/config.yaml")
    assert whole["viewer"] == meant
    if meant == "yes":
        with pytest.raises(DataError, match=r"config.viewer: 'yes' is not of type 'boolean'"):
            settings.load(whole, SCHEMAS)


def test_a_default_baseline_may_be_left_out_but_not_one_that_the_user_names():
    path = ROOT / "config/config.yaml"
    assert settings.with_defaults({"run": ["released"]}, path)["baseline"] == ""
    assert settings.with_defaults({}, path)["baseline"] == "sound"
    named = settings.with_defaults({"run": ["released"], "baseline": "sound"}, path)
    with pytest.raises(DataError, match=r"config\.baseline: 'sound' is not run.*released"):
        settings.load(named, SCHEMAS)


@pytest.mark.parametrize(
    ("argument", "cut"),
    [
        ("root=study #2", "'study'; .* --config 'root=\"study #2\"'"),
        ("sheet=a b #3 .csv", "'a b'"),
        ("root=study#2", None),
        ('root="study #2"', None),
        ("root='study #2'", None),
        ("sequences=[t1, t2] # mine", None),
        ("results/a #b", None),
    ],
)
def test_a_value_that_yaml_would_cut_is_shown_with_quotes(argument, cut):
    if cut is None:
        settings.check_cut(["snakemake", "--config", argument])
        return
    with pytest.raises(DataError, match=r"^--config .*takes ` #` .* would be " + cut):
        settings.check_cut(["snakemake", "--config", argument])


def test_networks_of_another_experiment(config):
    config["run"] = ["lut", "honest"]
    config["baseline"] = "honest"
    assert settings.load(config, SCHEMAS)["honest"]["networks_of"] == "lut"
    config["experiments"]["third"] = {"base": "honest", "networks_of": "honest"}
    config["run"] = ["lut", "honest", "third"]
    with pytest.raises(DataError, match=r"third\.networks_of: 'honest' trains no networks of its own; name 'lut'"):
        settings.load(config, SCHEMAS)
    config["run"] = ["lut", "honest"]
    for key, value in (("training", {"epochs": 3}), ("seeds", [1, 2]), ("split", {"seed": 5})):
        config["experiments"]["honest"] = {"base": "lut", "networks_of": "lut", key: value}
        with pytest.raises(DataError, match=rf"honest\.networks_of: the networks of 'lut' were .* another `{key}`"):
            settings.load(config, SCHEMAS)


def test_a_missing_key_is_named(config):
    del config["experiments"]["released"]["training"]["batch_size"]
    with pytest.raises(DataError, match=r"training: the key 'batch_size' is missing"):
        settings.load(config, SCHEMAS)


def test_options_that_another_network_or_loss_lacks_are_not_inherited(config):
    config["experiments"] |= {
        "every": {"base": "sound", "network": {"options": {"upsample": "every"}}},
        "rival": {
            "base": "every",
            "network": {"name": "unet", "options": {"width": 3}},
            "loss": {"name": "cross_entropy"},
        },
        "own": {"base": "every", "network": {"name": "mine.net:build", "options": {"depth": 3}}},
    }
    config["experiments"]["rival"]["loss"] = {"name": "cross_entropy"}
    config["baseline"] = ""
    config["run"] = ["every", "rival", "own"]
    loaded = settings.load(config, SCHEMAS)
    assert loaded["every"]["network"]["options"] == {"width": 10, "momentum": 0.9, "upsample": "every"}
    assert loaded["rival"]["network"]["options"] == {"width": 3, "momentum": 0.9}
    assert loaded["rival"]["loss"] == {"name": "cross_entropy", "alpha": "none"}
    assert loaded["own"]["network"]["options"] == {"depth": 3}
    assert settings.modules(loaded["own"][key] for key in ("network", "loss", "normalisation")) == ["mine.net"]
    assert settings.modules([loaded["rival"]["network"], loaded["rival"]["normalisation"]]) == []


def test_label_recipes_have_their_defaults():
    change = {
        "labels": {"literal": {"method": "apta", "version": "literal"}, "mine": {"method": "mine.masks:make", "k": 1}}
    }
    whole = settings.with_defaults(change, ROOT / "config/config.yaml")
    settings.load(whole, SCHEMAS)
    wrong = settings.with_defaults({"labels": ["lut"]}, ROOT / "config/config.yaml")
    with pytest.raises(DataError, match=r"config\.labels: \['lut'\] is not of type 'object'"):
        settings.load(wrong, SCHEMAS)
    expected = {"method": "apta", "version": "literal", "stretch": "slice", "resize": "linear"}
    assert whole["labels"]["literal"] == expected


def test_every_variant_is_in_the_manual_and_its_options_are_described():
    manual = (ROOT / "config/README.md").read_text(encoding="utf-8")
    for registry in (settings.NETWORKS, settings.LOSSES, settings.RECIPES, settings.NORMALISATIONS):
        assert len(registry.variants) >= 2
        for name in registry.variants:
            assert f"`{name}`" in manual, name
        assert all(each.about for each in registry.options().values())


def test_merge_leaves_its_arguments_alone(config):
    before = copy.deepcopy(config)
    settings.merge(config, {"phantom": {"seed": 9}})["phantom"]["patients"] = 1
    assert config == before


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_each_config_that_comes_with_the_project_is_sound(path, config):
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    experiments = settings.load(settings.merge(config, given), SCHEMAS)
    assert list(experiments) == given.get("run", config["run"])
