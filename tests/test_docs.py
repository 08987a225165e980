"""Every example in a docstring, compiled modules included, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import microtensor as mt

MODULES = ["microtensor"] + sorted(
    info.name
    for info in pkgutil.walk_packages(mt.__path__, "microtensor.")
    if not info.name.startswith("microtensor._isa") and not info.name.endswith("__main__")
)


def documented(name):
    """The functions, classes and methods that a module defines, by qualified name."""
    module = importlib.import_module(name)
    found = {name: module}
    for key, value in vars(module).items():
        if not key.startswith("_") and getattr(value, "__module__", None) == name and callable(value):
            found[f"{name}.{key}"] = value
            if inspect.isclass(value):
                for method_name, method in vars(value).items():
                    if not method_name.startswith("_") and callable(method):
                        found[f"{name}.{key}.{method_name}"] = method
    return found


def test_modules_include_compiled_ones():
    assert {"microtensor.core", "microtensor.ops.arithmetic", "microtensor.nn.module"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for qualified, value in documented(name).items():
        examples = doctest.DocTestParser().get_doctest(value.__doc__ or "", vars(importlib.import_module(name)).copy(),
                                                       qualified, None, None)
        runner.run(examples)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_docstrings(name):
    internal = ("apply", "check", "keep", "rule", "samples", "needs")
    bare = [qualified for qualified, value in documented(name).items()
            if not (value.__doc__ or "").strip() and qualified.rsplit(".")[-1] not in internal]
    assert not bare


def test_readme_example_trains(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    accuracy = float(re.search(r"test accuracy ([\d.]+)%", capsys.readouterr().out).group(1))
    assert accuracy >= 95
