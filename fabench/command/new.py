"""``fabench new GROUP NAME [PACKAGE]``: a module, its YAML and its test, to be changed."""

import keyword
import re
from pathlib import Path

from fabench.run import plugins
from fabench.schema import UserError, nearest

RULE = '''"""Direct feedback alignment with a gain: CHANGE ME into what your rule does, and why.

    delta_L = e                                                      (1)
    delta_l = gain (e B_l) ⊙ f'(a_l)                                 (2)

e: gradient of the loss with respect to the output's pre-activation a_L [B, C]; B_l: fixed feedback
matrix of layer l [C, n_l]; gain: a float, so every network of a sweep has its own.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.learning_rule.base.feedback import DirectFeedback, direct
from fabench.learning_rule.base.part import Part
from fabench.learning_rule.base.signal import Signals
from fabench.model.layer.network import ForwardPass
from fabench.schema import STRICT, Real


@dataclass(frozen=True, config=STRICT)
class {title}(DirectFeedback):
    name: str
    gain: Real

    def teaching_signals(self, e: Tensor, y: Tensor, forward: ForwardPass, part: Part) -> Signals:
        # CHANGE ME: delta_l [networks, examples, units] of every layer, counted from 0.
        deltas = direct(e, forward, part.operands("B"))
        signals = {{layer: self.gain * delta for layer, delta in deltas.items()}}  # (2)
        return signals | {{len(part.layers) - 1: e}}  # (1)
'''

OPTIMIZER = '''"""Gradient descent: CHANGE ME into what your optimizer does, and why.

    W <- W - lr g                                                    (1)

lr: learning rate; g: the batch-mean gradient.
"""

from types import SimpleNamespace

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import Optimizer, State, add_scaled_
from fabench.schema import STRICT, Rate


@dataclass(frozen=True, config=STRICT)
class {title}(Optimizer):
    name: str
    lr: Rate

    def initial_state(self, W: Tensor) -> State:
        return {{}}  # CHANGE ME: tensors like W by name, where there is a state

    def update_(self, W: Tensor, g: Tensor, state: State, h: SimpleNamespace) -> None:
        add_scaled_(W, -h.lr, g)  # (1), in place; CHANGE ME
'''

DATASET = '''"""Normal vectors, labelled by the sign of a sum: CHANGE ME into what your dataset is.

    x ~ N(0, I)                                                      (1)
    label = [x_1 + x_2 > 0]                                          (2)

x: 8 numbers. The training set is drawn once by each seed.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class {title}(DrawnDataset):
    name: str
    n_train: Count
    n_test: Count

    fresh = False  # True: other vectors in every epoch
    n_classes = 2

    @property
    def n_inputs(self) -> int:
        return 8

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        # CHANGE ME: vectors [N, n_inputs] and labels [N], a function of these arguments alone.
        rng = generator(seed, f"{name} {{stream}}")
        x = rng.standard_normal((self.size(stream), self.n_inputs))  # (1)
        labels = x[:, 0] + x[:, 1] > 0  # (2)
        return x.astype(np.float32), labels.astype(np.uint8)
'''

TEST = '''"""{title}: fabench's contract, and its equations in NumPy. Run by: pytest {package}"""

import numpy as np
import pytest

from fabench.command import contract

OVERRIDES = (
    "plugins=[{package}]",
    "{group}={name}",
    "model.hidden=[6,5]",
    "k=1",{more}
)


@pytest.fixture(scope="module")
def config():
    return contract.composed(*OVERRIDES)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(config, check):
    check(config)


'''

RULE_TEST = '''def test_one_step_follows_numpy():
    """CHANGE ME: what your equations say, on a network of one hidden layer of tanh units."""
    settings = ("model.hidden=[6]", "model.activation=tanh", "optimizer.lr=0.5")
    config = contract.composed(*OVERRIDES, *settings, "learning_rule.gain=2.0")
    people = contract.population(config)
    x, y = contract.batches(config, people)[0]
    W, V, B = (people.tensors[name].double().numpy().copy() for name in ("W0", "W1", "B0"))
    people.step(x, y)
    x, y = x.double().numpy(), y.double().numpy()
    h = np.tanh(x @ W)
    e = 1 / (1 + np.exp(-h @ V)) - y  # (1)
    delta = 2.0 * (e @ B) * (1 - h**2)  # (2)
    for name, before, g in (("W0", W, x.mT @ delta), ("W1", V, h.mT @ e)):
        after = before - 0.5 * g / x.shape[1]
        np.testing.assert_allclose(people.tensors[name], after, rtol=1e-4, atol=1e-6)
'''

OPTIMIZER_TEST = '''def test_one_step_follows_numpy(config):
    """CHANGE ME: what your equation says of one weight matrix and its gradient."""
    rng = np.random.default_rng(0)
    W, g = rng.normal(size=(2, 3, 4, 5))
    found, optimizer = torch.tensor(W), config.optimizer
    h = optimizer.at_step(1, SimpleNamespace(lr=0.5))
    optimizer.update_(found, torch.tensor(g), optimizer.initial_state(found), h)
    np.testing.assert_allclose(found, W - 0.5 * g)  # (1)
'''

DATASET_TEST = '''def test_labels_are_those_of_the_equation(config):
    """CHANGE ME: what can be known of your data."""
    x, labels = config.dataset.draw(0, "train", 1)
    np.testing.assert_array_equal(labels, x[:, 0] + x[:, 1] > 0)  # (2)
    assert not np.array_equal(x, config.dataset.draw(1, "train", 1)[0])
'''

DIGITS = '\n    "dataset=digits",'

OF_OPTIMIZER = TEST.replace("import numpy as np\nimport pytest\n",
    "from types import SimpleNamespace\n\nimport numpy as np\nimport pytest\nimport torch\n",
)  # fmt: skip

TEMPLATES = {
    "learning_rule": (RULE, "gain: 1.0  # factor on the signals of hidden layers\n",
                      TEST + RULE_TEST, DIGITS),
    "optimizer": (OPTIMIZER, "lr: 0.018\n", OF_OPTIMIZER + OPTIMIZER_TEST, DIGITS),
    "dataset": (DATASET, "n_train: 256\nn_test: 1000\n", TEST + DATASET_TEST, ""),
}  # fmt: skip
"""Of each group: the module, the settings in YAML, the test, and what else the test composes."""


def new(args: list[str]) -> int:
    """Write the three files of a new option, and say how to go on. Raises UserError."""
    if len(args) not in (2, 3):
        raise UserError("fabench new takes a group, a name and, if you like, a package's folder.")
    group, name, folder = args[0], args[1], Path(args[2] if len(args) == 3 else "my_package")
    if group not in TEMPLATES:
        raise UserError(f"There is no template of group {group}{nearest(group, list(TEMPLATES))}")
    package = folder.resolve().name
    for word in (name, package):
        written = re.fullmatch(r"[a-z][a-z0-9_]*", word)
        if not written or keyword.iskeyword(word) or word == "fabench":
            raise UserError(f"{word} is no name of a module: write small_letters_and_2_digits.")
    if name in plugins.own_options(group):
        raise UserError(f"fabench has {group}={name}: choose another name.")
    module, settings, test, more = TEMPLATES[group]
    words = {"group": group, "name": name, "package": package, "more": more}
    words["title"] = name.title().replace("_", "")
    files = {
        folder / group / f"{name}.py": module.format(**words),
        folder / "conf" / group / f"{name}.yaml": f"# CHANGE ME.\nname: {name}\n{settings}",
        folder / "tests" / f"test_{name}.py": test.format(**words),
    }
    for file in files:
        if file.exists():
            raise UserError(f"{file} is there already.")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
    where = f", in {folder.resolve().parent}" if folder.parent != Path() else ""
    print(f"Change what says CHANGE ME. Then{where}:")
    print(f"  pytest {package}")
    print(f"  fabench run plugins=[{package}] {group}={name}")
    return 0
