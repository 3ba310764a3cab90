"""What ``fabench new`` writes: of each group a module, its YAML and its test."""

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
        add_scaled_(W, -h.lr, g)  # (1), in place, of any piece of a weight; CHANGE ME
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


SCHEDULE = '''"""Decay with the square root of time: CHANGE ME into what your schedule does.

    factor = 1 / sqrt(1 + decay epoch)                               (1)

epoch: how many are done, whole or in part; the learning rate is lr times this factor.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schedule.base import ChangingSchedule
from fabench.schema import STRICT, NonNegative


@dataclass(frozen=True, config=STRICT)
class {title}(ChangingSchedule):
    name: str
    decay: NonNegative

    def factor(self, done: Tensor, epochs: int) -> Tensor:
        return 1 / (1 + self.decay * done) ** 0.5  # (1); CHANGE ME
'''

SCHEDULE_TEST = '''def test_the_factor_is_that_of_the_equation(config):
    """CHANGE ME: the factors of some steps, of 10 an epoch, in a run of 5 epochs."""
    for step, epoch in ((1, 0.0), (6, 0.5), (31, 3.0)):
        expected = 1 / np.sqrt(1 + 0.5 * epoch)  # (1)
        np.testing.assert_allclose(config.schedule.at(step, 10, 5), expected)
'''

PARALLEL = '''"""Workers that pull the centre along: CHANGE ME into what your scheme does, and why.

    x_w' = x_w + (the step of worker w's optimizer)                  (1)
    x <- x + (x_w' - x) / p                                          (2)
    x_w <- x                                                         (3)

x: the centre, which is what is tested; x_w: worker w's parameters; p: how many workers there are.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.optimizer.base import State
from fabench.parallel.base import LocalScheme
from fabench.schema import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class {title}(LocalScheme):
    name: str
    workers: Count

    def initial_state(self, x: Tensor) -> State:
        return {{"parameters": x}}  # CHANGE ME: what a worker has of its own

    def position(self, own: State) -> Tensor:
        return own["parameters"]

    def exchange(self, x: Tensor, own: State, moved: Tensor, n: int) -> tuple[Tensor, State]:
        x = x + (moved - x) / self.workers  # (2); CHANGE ME
        return x, {{"parameters": x}}  # (3)
'''

PARALLEL_TEST = '''def test_an_exchange_follows_numpy(config):
    """CHANGE ME: what your equations say of the centre and of one of two workers."""
    x, moved = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    scheme = config.parallel
    own = scheme.initial_state(torch.tensor(x))
    centre, own = scheme.exchange(torch.tensor(x), own, torch.tensor(moved), 1)
    np.testing.assert_allclose(centre, x + (moved - x) / 2)  # (2)
    np.testing.assert_allclose(scheme.position(own), centre)  # (3)
'''

TASK = '''"""Two halves: CHANGE ME into what is asked of your examples.

    y = [class >= C / 2]                                             (1)

C: the number of the dataset's classes. One output says which half an item's class belongs to.
"""

from pydantic.dataclasses import dataclass
from torch import Tensor

from fabench.schema import STRICT, Count
from fabench.task.base import BINARY_CROSS_ENTROPY, SingleItemTask


@dataclass(frozen=True, config=STRICT)
class {title}(SingleItemTask):
    name: str
    n_classes: Count  # the dataset's, given by fabench

    n_outputs = 1
    chance = 0.5
    objective = BINARY_CROSS_ENTROPY

    def targets(self, labels: Tensor) -> Tensor:
        return (2 * labels.long() >= self.n_classes).float()  # (1); CHANGE ME

    def classes(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (output > 0).squeeze(-1).long(), (y > 0.5).squeeze(-1).long()
'''

TASK_TEST = '''def test_targets_are_those_of_the_equation(config):
    """CHANGE ME: what your task makes of labels, here of ten classes."""
    labels = torch.tensor([[0], [4], [5], [9]], dtype=torch.uint8)
    assert config.task.targets(labels).tolist() == [[0], [0], [1], [1]]  # (1)
'''

MODEL = '''"""A perceptron behind a projection: CHANGE ME into what your network is.

    h_1 = x W_0                                                      (1)
    h_l = f(h_(l-1) W_(l-1)),  l = 2, ...                            (2)

f: the activation; the last product is the output.
"""

from dataclasses import replace
from math import prod

from pydantic.dataclasses import dataclass

from fabench.model.base import Model
from fabench.model.layer.network import Layer
from fabench.schema import STRICT


@dataclass(frozen=True, config=STRICT)
class {title}(Model):
    def layers(self, item: tuple[int, ...], items: int, n_outputs: int) -> tuple[Layer, ...]:
        first, *others = self.dense(items * prod(item), n_outputs)  # (2)
        first = replace(first, activation="linear")  # (1); CHANGE ME
        return replace(first, input_dropout=self.input_dropout), *others
'''

MODEL_YAML = """hidden: [512]
activation: relu
bias: false
weight_init: torch_uniform
weight_scale: 1.0
input_dropout: 0.0
hidden_dropout: 0.0
batch_norm: false
weights: null
"""

MODEL_TEST = '''def test_outputs_follow_numpy():
    """CHANGE ME: what your equations say, of two hidden layers of tanh units."""
    config = contract.composed(*OVERRIDES, "model.activation=tanh")
    people = contract.population(config)
    x = contract.batches(config, people)[0][0]
    W = [people.tensors[f"W{{layer}}"].double().numpy() for layer in range(3)]
    h = x.double().numpy() @ W[0]  # (1)
    expected = np.tanh(h @ W[1]) @ W[2]  # (2)
    np.testing.assert_allclose(people.outputs(x), expected, rtol=1e-4, atol=1e-6)
'''

FIGURE = '''"""BP and DFA against epochs: CHANGE ME into what your figure shows."""

import pandas as pd
from matplotlib.figure import Figure

from fabench.figure import style
from fabench.figure.curves import band, epoch_axis

EXPERIMENTS = ("{name}",)  # whose runs it needs: {package}/conf/experiment


def draw(frame: pd.DataFrame) -> Figure:
    """Test accuracy against epoch. ``frame``: a row per run, seed and epoch, with all settings."""
    with style.canvas() as (figure, [[axes]]):
        for rule, runs in frame.groupby("learning_rule"):  # CHANGE ME
            band(axes, runs, "test_accuracy", style.color(rule), rule)
        epoch_axis(axes, int(frame.epoch.max()))
        axes.set_ylabel("test accuracy")
        axes.legend()
        return figure
'''

FIGURE_YAML = """# @package _global_
# CHANGE ME: what runs your figure needs.
defaults:
  - override /dataset: digits
  - override /optimizer: sgd
  - override /k: "1"

hydra:
  mode: MULTIRUN
  sweeper:
    params:
      learning_rule: bp,dfa
"""

FIGURE_TEST = '''"""{name}: fabench's contract, and what is drawn. Run by: pytest {package}"""

import pandas as pd

from fabench.command import contract

OVERRIDES = ("plugins=[{package}]", "model.hidden=[5]", "trainer.epochs=2", "seed=[0,1]")


def test_contract(tmp_path):
    contract.a_recipe_is_made("{name}", *OVERRIDES, f"output_dir={{tmp_path}}")


def test_curves_are_means_over_seeds():
    """CHANGE ME: what can be known of your figure."""
    rows = [("bp", 0, 0, 0.1), ("bp", 1, 0, 0.2), ("bp", 0, 1, 0.7), ("bp", 1, 1, 0.9)]
    frame = pd.DataFrame(rows, columns=["learning_rule", "seed", "epoch", "test_accuracy"])
    [axes] = contract.recipe("{name}", *OVERRIDES).draw(frame).axes
    [line] = axes.lines
    assert [round(y, 9) for y in line.get_ydata()] == [0.15, 0.8]
'''

DIGITS = '\n    "dataset=digits",'

WITH_TORCH = TEST.replace("import pytest\n", "import pytest\nimport torch\n")
OF_OPTIMIZER = WITH_TORCH.replace(
    "import numpy", "from types import SimpleNamespace\n\nimport numpy"
)

NAMED = "# CHANGE ME.\nname: {name}\n"

TEMPLATES = {
    "learning_rule": (RULE, NAMED + "gain: 1.0  # factor on the signals of hidden layers\n",
                      TEST + RULE_TEST, DIGITS),
    "optimizer": (OPTIMIZER, NAMED + "lr: 0.018\n", OF_OPTIMIZER + OPTIMIZER_TEST, DIGITS),
    "schedule": (SCHEDULE, NAMED + "decay: 0.5\n", TEST + SCHEDULE_TEST, DIGITS),
    "parallel": (PARALLEL, NAMED + "workers: 2\n", WITH_TORCH + PARALLEL_TEST, DIGITS),
    "dataset": (DATASET, NAMED + "n_train: 256\nn_test: 1000\n", TEST + DATASET_TEST, ""),
    "task": (TASK, NAMED, WITH_TORCH.replace("import numpy as np\n", "") + TASK_TEST, DIGITS),
    "model": (MODEL, NAMED + MODEL_YAML, TEST + MODEL_TEST, DIGITS),
    "figure": (FIGURE, FIGURE_YAML, FIGURE_TEST, ""),
}  # fmt: skip
"""Of each group: the module, its YAML, the test, and what else the test composes."""
