"""Claims of the five documents and their papers, and what fabench's tables say of each.

A claim says where a number lies: below 0, above it, within bounds. It "holds" if the whole 95 %
interval of the number lies there, it "does not" if none of the interval does, and else it is
"open". Numbers come from figures' and tables' data, or from a table that has paired them; a claim
whose file is not there, or lacks its rows, is "not computed". Differences are paired over seeds.
Nothing here is corrected for there being many claims. Bounds that a source leaves open (half a
point, chance) are ours. Protocols are those of the figures and tables, shorter than most sources':
see there.

D: D. C. Demirbilek, "The dynamics of learning beyond stochastic gradient descent", 2021 (document
000), by its figures, and the code that goes with it. F: L. Zhang, T. Wang, M. Ren, "Feedback
alignment algorithms" (001), and the papers that it presents. E: R. H. Eyono, "Learning to
backpropagate", 2020 (002). P: "More on back propagation", Psychology 209, 2019 (003). M: D. M.
Mehta, "Analysis of non-gradient learning in neural networks" (004). Others are papers on methods
that these name. Accuracies, errors and differences are in points of per cent.
"""

from math import inf, nan
from pathlib import Path

import pandas as pd

from fabench.figure.claim import Claim, judged
from fabench.figure.data import read
from fabench.figure.measure import BySeed, Measure, Where, by_seed, minus, over_seeds, paired
from fabench.figure.recipe.table_published import PAPERS
from fabench.run.statistics import Summary, wilson

EXPERIMENTS = ()  # it reads other tables

BELOW, ABOVE = (-inf, 0.0), (0.0, inf)


def _trained(rule: str, k: int = 3, epoch: int = 20, **others: object) -> dict[str, object]:
    return {"learning_rule": rule, "k": k, "epoch": epoch, **others}


def _accuracies(where: Where) -> BySeed:
    return by_seed("test_accuracy", where, 100)


def _accuracy(where: Where) -> Measure:
    return over_seeds(_accuracies(where))


def _lead(one: Where, other: Where) -> Measure:
    return over_seeds(minus(_accuracies(one), _accuracies(other)))


def _gaps(optimizer: str = "sgd", k: int = 3) -> BySeed:
    dfa, bp = (_accuracies(_trained(rule, k, optimizer=optimizer)) for rule in ("dfa", "bp"))
    return minus(dfa, bp)


def _nokland(rule: str, hidden: list[int], activation: str = "tanh") -> dict[str, object]:
    plain = {"hidden_dropout": 0.0, "adversarial": 0.0, "epoch": 10}
    return {"learning_rule": rule, "hidden": str(hidden), "activation": activation, **plain}


def _deepest(rule: str) -> Measure:
    """Test error of the DFA paper's 100 layers."""
    accuracies = _accuracies(_nokland(rule, 100 * [240]))
    return over_seeds(lambda networks: 100 - accuracies(networks))


def _published(paper: str, one: str, other: str) -> Measure:
    """One rule's test error less another's, on their paper's network."""
    of_one, of_other = ({**NETWORKS[paper], "learning_rule": rule} for rule in (one, other))
    return _more_errors(of_one, of_other)


def _more_errors(one: Where, other: Where) -> Measure:
    """One's test error less the other's."""
    return _lead(other, one)


def _targets(rule: str, dataset: str, inverse_loss: str | None = None) -> dict[str, object]:
    where: dict[str, object] = {"learning_rule": rule, "dataset": dataset}
    if rule == DTP:
        where |= {"inverse_loss": inverse_loss, "feedback_steps": 1}
    return where


def _deep(noise: float, lr: float) -> Measure:
    """The share of twenty layers' networks that end above 20 %, with Wilson's interval."""
    where = {"weight_init": "standard_gaussian", "gradient_noise": noise, "lr": lr}

    def share(networks: pd.DataFrame) -> Summary:
        learned = _accuracies(where)(networks) > 20  # a diverged one has not
        low, high = wilson(int(learned.sum()), len(learned))
        return Summary(len(learned), 100 * learned.mean(), nan, 100 * low, 100 * high)

    return Measure("data", share)


def _clusters(rule: str, optimizer: str) -> dict[str, object]:
    where = {"d": 15, "n": 256, "labels": "drawn"}
    return where | {"learning_rule": rule, "optimizer": optimizer}


DTP = "difference_target_propagation"
NETWORKS = {
    paper: {"hidden": hidden, "activation": activation}
    for (hidden, activation), (paper, _) in PAPERS.items()
}
"""By paper, of table_published."""
ADAPTIVE = ("adagrad", "rmsprop", "adadelta", "adam")
LAZY = ("ntk", "relu_features", "gaussian_features", "linear_features")
CHANCE = (48.0, 52.0)
ON_MNIST = {"dataset": "mnist"}
PBLF = (
    *(("table_6_2", epochs, f"{epochs} epochs") for epochs in (4, 12, 30)),
    ("table_pblf_residual", 10, "WRN-10-1"),
)

CLAIMS = (
    *(
        Claim("D fig. 2.1", f"{rule} learns one digit's parity", "fig_2_1", "accuracy, k=1",
              _accuracy(_trained(rule, 1)), (52, inf))
        for rule in LAZY
    ),
    *(
        Claim("D fig. 2.1", f"{rule} stays at chance with three digits", "fig_2_1", "accuracy, k=3",
              _accuracy(_trained(rule)), CHANCE)
        for rule in LAZY
    ),
    *(
        Claim("D fig. 2.1", f"BP is better than {rule} with one digit", "fig_2_1",
              f"BP less {rule}, k=1",
              _lead(_trained("bp", 1, optimizer="adadelta"), _trained(rule, 1)), ABOVE)
        for rule in LAZY
    ),
    *(
        Claim("D fig. 2.1", f"DFA is better than lazy methods (NTK) with {digits}", "fig_2_1",
              f"DFA less NTK, k={k}", _lead(_trained("dfa", k), _trained("ntk", k)), ABOVE)
        for k, digits in ((1, "one digit"), (3, "three digits"))
    ),
    Claim("D fig. 3.1", "DFA is behind BP with SGD", "fig_3_1", "DFA less BP, k=3",
          over_seeds(_gaps()), BELOW),
    Claim("D fig. 3.1", "the gap is larger with three digits", "fig_3_1", "gap at k=3 less at k=1",
          over_seeds(minus(_gaps(), _gaps(k=1))), BELOW),
    Claim("D fig. 3.1", "DFA with SGD stays below 70 % in 20 epochs", "fig_3_1", "accuracy, k=3",
          _accuracy(_trained("dfa", optimizer="sgd")), (-inf, 70), "70"),
    *(
        Claim("D fig. 3.2", f"in 50 epochs DFA reaches BP after {epoch}, SGD", "fig_3_2",
              f"DFA's 50 epochs less BP's {epoch}",
              _lead(_trained("dfa", epoch=50, optimizer="sgd"),
                    _trained("bp", epoch=epoch, optimizer="sgd")), (-1, inf))
        for epoch in (20, 50)
    ),
    Claim("D fig. 3.2", "DFA aligns as it learns", "fig_3_2",
          "weight alignment after 50 epochs less after one, SGD",
          over_seeds(minus(*(by_seed("weight_alignment",
                                     _trained("dfa", epoch=epoch, optimizer="sgd"))
                             for epoch in (50, 1)))), ABOVE),
    *(
        Claim("D fig. 3.3", f"DFA learns with a {matrix} B", "fig_3_3", "accuracy, k=3",
              _accuracy(_trained("dfa", init_of_B=matrix)), (52, inf))
        for matrix in ("gaussian", "standard_gaussian", "standard_uniform")
    ),
    *(
        Claim("D fig. 3.3", claim, "fig_3_3", "accuracy less uniform's, k=3",
              _lead(_trained("dfa", init_of_B=matrix), _trained("dfa", init_of_B="uniform")),
              bounds)
        for claim, matrix, bounds in (
            ("gaussian is as good as uniform", "gaussian", (-2, 2)),
            ("standard_gaussian is as good as uniform", "standard_gaussian", (-2, 2)),
            ("standard_uniform is worse than uniform", "standard_uniform", BELOW))
    ),
    *(
        Claim("D fig. 3.4", f"{optimizer} improves {rule} over SGD", "fig_3_4",
              "accuracy less SGD's, k=3",
              _lead(_trained(rule, optimizer=optimizer), _trained(rule, optimizer="sgd")), ABOVE)
        for rule in ("bp", "dfa") for optimizer in ADAPTIVE
    ),
    *(
        Claim("D fig. 3.4", f"{optimizer} closes the gap between BP and DFA", "fig_3_4",
              "DFA less BP, k=3", over_seeds(_gaps(optimizer)), (-1, inf))
        for optimizer in ADAPTIVE
    ),
    *(
        Claim("D fig. 3.4", f"with {optimizer} DFA's gap is smaller than with SGD", "fig_3_4",
              "gap less SGD's, k=3", over_seeds(minus(_gaps(optimizer), _gaps())), ABOVE)
        for optimizer in ("rmsprop", "adadelta")
    ),
    *(
        Claim("D, code", f"{rule} learns the clusters that random features do not, {optimizer}",
              "table_random_data", "test error less the output layer's, d=15, n=256",
              _more_errors(_clusters(rule, optimizer), _clusters("relu_features", optimizer)),
              BELOW)
        for rule in ("bp", "dfa") for optimizer in ("sgd", "rmsprop")
    ),
    *(
        Claim("D app. B", f"{rule}'s hidden layer has fewer digits than a random one, {probe}",
              "table_probes", "digits found, less those of untrained networks, k=3",
              paired("more_than_untrained",
                     {"question": "digit", "probe": probe, "network": rule}), BELOW)
        for rule in ("bp", "dfa") for probe in ("10-NN", "linear")
    ),
    *(
        Claim("Neelakantan 2015", f"{noise} twenty layers {learn} from poor weights, rate {lr}",
              "fig_gradient_noise", "networks above 20 %", _deep(eta, lr), bounds)
        for noise, learn, eta, rates, bounds in (
            ("without gradient noise", "do not learn", 0.0, (0.03, 0.1), (-inf, 50)),
            ("with gradient noise, eta 0.01,", "learn", 0.01, (0.03, 0.1), (50, inf)),
            ("with gradient noise, eta 0.3,", "learn", 0.3, (0.01, 0.03), (50, inf)))
        for lr in rates
    ),
    *(
        Claim("Meulemans 2020", f"{name} is better than DTP, {dataset}", "table_targets",
              "test error less DTP's, 5 epochs",
              _more_errors(_targets(rule, dataset, "difference"),
                           _targets(DTP, dataset, "reconstruction")), BELOW,
              f"{source}, 100 epochs")
        for name, rule, sources in (
            ("DTP-DRL", DTP, ("2.21 - 2.39", "11.22 - 13.66")),  # at second hand
            ("DDTP", f"direct_{DTP}", ("2.04 - 2.39", "11.11 - 13.66")))
        for dataset, source in zip(("mnist", "fashion_mnist"), sources, strict=True)
    ),
    Claim("F, Lillicrap 2016", "FA does as well as BP, 784-1000-10", "table_published",
          "FA's test error less BP's", _published("L", "fa", "bp"),
          (-inf, 0.2), "2.1 - 2.4"),
    *(
        Claim("P, Lillicrap 2016", f"FA equals or beats BP, {network}", table,
              f"FA's {split} error less BP's, {epochs} epochs",
              _more_errors(*({"learning_rule": rule, **where} for rule in ("fa", "bp"))),
              (-inf, 0.2))
        for network, table, split, epochs, where in (
            ("784-300-10, scale of B chosen", "fig_feedback_four_layers", "test", 12,
             {"hidden": "[300]", "epoch": 12}),
            ("784-2x300-10, scale of B chosen", "fig_feedback_four_layers", "test", 12,
             {"hidden": "[300, 300]", "epoch": 12}),
            ("784-100-10", "fig_slides_fa", "validation", 50,
             {"experiment": "fig_slides_fa", "epoch": 50}),
            ("784-200-100-10", "fig_slides_dfa", "validation", 50,
             {"experiment": "fig_slides_dfa", "epoch": 50}),
            ("784-2x240-10", "fig_frozen_first_layer", "test", 10,
             {"frozen_layers": "[]", "epoch": 10}),
            ("784-2x256-10", "table_alignment_family", "test", 20,
             {"dataset": "mnist", "epoch": 20}))
    ),
    Claim("F, Nøkland 2016", "DFA trains 100 layers", "table_nokland", "DFA's test error",
          _deepest("dfa"), (-inf, 10), "3.9 after 300 epochs"),
    *(
        Claim("F, Nøkland 2016", f"{name} does not train 100 layers", "table_nokland",
              f"{name}'s test error", _deepest(rule), (50, inf))
        for name, rule in (("BP", "bp"), ("FA", "fa"))
    ),
    *(
        Claim("F, Nøkland 2016",
              f"DFA is within half a point of BP after 10 epochs, "
              f"{len(hidden)}x{hidden[0]} {activation}",
              "table_nokland", "DFA's test error less BP's",
              _more_errors(*(_nokland(rule, hidden, activation) for rule in ("dfa", "bp"))),
              (-inf, 0.5), f"{source}, 300 epochs")
        for hidden, activation, source in (
            ([800, 800], "relu", "1.70 - 1.48"), ([800, 800], "tanh", "1.74 - 1.60"),
            (3 * [800], "tanh", "1.70 - 1.75"), (4 * [800], "tanh", "1.83 - 1.92"),
            (7 * [240], "tanh", "2.32 - 2.16"))
    ),
    Claim("F, Nøkland 2016", "DFA is within half a point of BP after 40 epochs, 2x800 relu",
          "table_published", "DFA's test error less BP's", _published("N", "dfa", "bp"),
          (-inf, 0.5), "1.70 - 1.48, 300 epochs"),
    *(
        Claim("Akrout 2019", f"{rule} is better than FA", "table_published",
              "test error less FA's", _published("A", rule, "fa"), BELOW,
              source)
        for rule, source in (("weight_mirror", "2.03 - 3.66"), ("kolen_pollack", "1.72 - 3.66"))
    ),
    *(
        Claim("Akrout 2019", f"{rule} comes within half a point of BP", "table_published",
              "test error less BP's", _published("A", rule, "bp"),
              (-inf, 0.5), source)
        for rule, source in (("weight_mirror", "1.51 - 1.50, 400 epochs"),
                             ("kolen_pollack", "1.55 - 1.50, 400 epochs"))
    ),
    Claim("Frenkel 2021", "DRTP is behind DFA", "table_published",
          "DRTP's test error less DFA's", _published("F", "drtp", "dfa"),
          ABOVE),
    *(
        Claim("Sanfiz 2021", f"{rule} is better than FA, LeNet", "table_published",
              "test error less FA's", _published("S", rule, "fa"), BELOW,
              source)
        for rule, source in (("usf", "0.94 - 1.70"), ("frsf", "0.97 - 1.70"),
                             ("brsf", "0.91 - 1.70"), ("dfa", "1.61 - 1.70"))
    ),
    *(
        Claim("Larochelle 2008", f"the {first} RBM is better than the {second} one",
              "table_rbm", "difference of test errors",
              paired("difference_to_discriminative", {"objective": row}), bounds, source)
        for first, second, row, bounds, source in (
            ("discriminative", "generative", "generative", ABOVE,
             "3.39 - 1.81, 6000 and 500 units"),
            ("hybrid", "discriminative", "hybrid", BELOW, "1.28 - 1.81, 1500 and 500 units"))
    ),
    *(
        Claim("E 6", f"random search comes within a point of the process, {setting}",
              table, "PBLF-BO less PBLF-RS, accuracy",
              paired("difference_to_random", {"method": "PBLF-BO", "epochs": epochs}), (-1, 1),
              "within a per cent")
        for table, epochs, setting in PBLF
    ),
    *(
        Claim("E 6", f"{method} comes within a point of BP, {setting}", table,
              f"{method} less BP, accuracy",
              paired("difference_to_bp", {"method": method, "epochs": epochs}), (-1, 1),
              "within a per cent")
        for table, epochs, setting in PBLF for method in ("PBLF-BO", "PBLF-RS")
    ),
    *(
        Claim("E 6", f"BP is better than {method}, {setting}", table, f"{method} less BP, accuracy",
              paired("difference_to_bp", {"method": method, "epochs": epochs}), BELOW)
        for table, epochs, setting in PBLF for method in ("PBLF-BO", "PBLF-RS")
    ),
    *(
        Claim("E, Alber 2018", text, table, f"g / fro(g) less BP, own rates, {epochs} epochs",
              paired("difference_to_bp",
                     {"formula": "g / fro(g)", "optimizer": optimizer, "epochs": epochs}),
              bounds, f"{source}, WRN-16-2")
        for text, table, optimizer, epochs, bounds, source in (
            ("normalised gradients win in few epochs with SGD", "table_backprop_evolution",
             "sgd", 4, ABOVE, "+7.0"),
            ("normalised gradients win in few epochs with SGD, WRN-10-1",
             "table_backprop_evolution_residual", "sgd", 10, ABOVE, "+7.0"),
            ("normalised gradients win in many epochs with SGD", "table_backprop_evolution",
             "sgd", 12, ABOVE, "+0.5"),
            ("normalised gradients win in few epochs with momentum", "table_backprop_evolution",
             "momentum", 4, ABOVE, "+1.2"),
            ("they do not in many epochs with momentum", "table_backprop_evolution",
             "momentum", 12, BELOW, "-0.3"))
    ),
    *(
        Claim("M", f"LRA is behind BP, {dataset}", "table_lra", "test accuracy, LRA less BP",
              paired("difference", {"dataset": dataset, "measure": "test accuracy"}), BELOW, source)
        for dataset, source in (("mnist", "89.45 - 97.49"), ("fashion_mnist", "82.39 - 88.60"))
    ),
    Claim("M", "the learning rate does not affect LRA", "table_lra",
          "spread over rates, LRA", paired("lra", {**ON_MNIST, "measure": "(b) spread over rates"}),
          (-inf, 1)),
    *(
        Claim("M", f"LRA {less}", "table_lra", f"{measure}, LRA less BP",
              paired("difference", {**ON_MNIST, "measure": measure}), BELOW)
        for less, measure in (
            ("depends less on the learning rate", "(b) spread over rates"),
            ("loses less from a tenth of the weights", "(c) lost at weight_scale 0.1"),
            ("loses less from three times the weights", "(c) lost at weight_scale 3"))
    ),
)  # fmt: skip


def tabulate(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per claim: the number with its interval, the source's, and the verdict."""
    outputs = Path(frame.attrs["output_dir"])
    files = dict.fromkeys((claim.measure.folder, claim.table) for claim in CLAIMS)
    tables = {
        (folder, name): read(file)
        for folder, name in files
        if (file := outputs / folder / f"{name}.csv").exists()
    }
    return pd.DataFrame(
        [judged(claim, tables.get((claim.measure.folder, claim.table))) for claim in CLAIMS]
    )
