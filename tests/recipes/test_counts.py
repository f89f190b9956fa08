"""A recipe refuses to train for no epoch, no step, or on batches of nothing."""

import importlib
import inspect

import pytest

RECIPES = {
    "pretrain_bert": "steps",
    "pretrain_gpt": "steps",
    "finetune_gpt": "epochs",
    "finetune_classifier": "epochs",
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("value", [0, -1])
def test_a_count_under_one_is_refused_by_name_and_nothing_written(
    tmp_path, recipe, value
):
    main = importlib.import_module(f"recipes.{recipe}").main
    needed = {
        name: "absent"
        for name, parameter in inspect.signature(main).parameters.items()
        if parameter.default is parameter.empty
    }
    for name in (RECIPES[recipe], "batch_size"):
        arguments = {**needed, "output": tmp_path / "run", "steps": 1, name: value}
        if "steps" not in inspect.signature(main).parameters:
            del arguments["steps"]
        with pytest.raises(ValueError, match=f"{name} must be 1 or .*: {name}={value}"):
            main(**arguments)
    assert not (tmp_path / "run").exists()
