"""Family trees: who is the father, the aunt, ... of whom in two families of the same shape?

    x = (person, relation): one of 24 inputs on, and one of 12       (1)
    y_j = 1 if person j stands in this relation to the person, else 0 (2)
    siblings = P P^T without I                                       (3)
    uncles and aunts = P siblings (I + M)                            (4)
    nephews and nieces = (I + M) siblings P^T                        (5)

P [12, 12]: P_ij = 1 if j is a parent of i; M: if they are married; products are of relations. A
fact is a person with a relation that somebody has to the person: 52 in each family, 104 in all; in
eight of them y has two people. In an order that the seed draws, the first ``n_test`` facts are for
the test, the next ``n_train`` for training, and validation data are what is left of 104. They are
the same in every epoch. For ``task=multi_label``.

Reference: G. E. Hinton, "Learning distributed representations of concepts", Proceedings of the
Eighth Annual Conference of the Cognitive Science Society, 1986 (100 facts and 4).

Differences from the paper:
1. Its network has six units for the person and six for the relation in the first hidden layer; an
   ``mlp`` is dense (``model.hidden=[12,12,6]``).
"""

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fabench.dataset.base.drawn import DrawnDataset
from fabench.randomness import generator
from fabench.schema import STRICT, Count, UserError

PEOPLE = (
    "Christopher", "Penelope", "Andrew", "Christine", "Margaret", "Arthur", "Victoria", "James",
    "Jennifer", "Charles", "Colin", "Charlotte",
    "Roberto", "Maria", "Pierro", "Francesca", "Gina", "Emilio", "Lucia", "Marco",
    "Angela", "Tomaso", "Alfonso", "Sophia",
)  # fmt: skip
"""The English family, and the Italian one in the same places."""

RELATIONS = (
    "father", "mother", "husband", "wife", "son", "daughter", "brother", "sister", "uncle", "aunt",
    "nephew", "niece",
)  # fmt: skip

COUPLES = {(0, 1): (5, 6), (2, 3): (7, 8), (5, 4): (), (7, 6): (10, 11), (9, 8): ()}
"""Husband and wife of a family: their son and daughter."""

N_FACTS = 104


def facts() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x [104, 36] and y [104, 24] of all facts."""
    P, M, one = np.zeros((12, 12)), np.zeros((12, 12)), np.eye(12)
    for couple, children in COUPLES.items():
        M[couple, couple[::-1]] = 1
        for child in children:
            P[child, couple] = 1
    siblings = P @ P.T * (1 - one)  # (3)
    two = (P, M, P.T, siblings, P @ siblings @ (one + M), (one + M) @ siblings @ P.T)  # (4), (5)
    man = np.zeros(12)
    man[[husband for husband, _ in COUPLES] + [10]] = 1
    of_one = np.stack([who * sex for who in two for sex in (man, 1 - man)], axis=1) > 0
    both = np.kron(np.eye(2), of_one.reshape(144, 12)) > 0  # person by person, relation by relation
    person, relation = np.divmod(np.flatnonzero(both.any(1)), 12)
    x = np.concatenate([np.eye(24)[person], np.eye(12)[relation]], axis=1)  # (1)
    return x.astype(np.float32), both[both.any(1)].astype(np.float32)  # (2)


@dataclass(frozen=True, config=STRICT)
class FamilyTrees(DrawnDataset):
    name: str
    n_train: Count
    n_test: Count

    fresh = False
    n_targets = len(PEOPLE)

    def __post_init__(self) -> None:
        if self.n_train + self.n_test > N_FACTS:
            raise UserError(
                f"dataset.n_train={self.n_train}, dataset.n_test={self.n_test}: there are "
                f"{N_FACTS} facts."
            )

    def check_validation(self) -> None:
        if self.n_train + self.n_test == N_FACTS:
            raise UserError(
                f"dataset.n_train={self.n_train} leaves no facts for validation data, which are "
                "wanted: choose a smaller."
            )

    @property
    def n_inputs(self) -> int:
        return len(PEOPLE) + len(RELATIONS)

    @property
    def within_0_and_1(self) -> bool:
        return True

    def draw(
        self, seed: int, stream: str, epoch: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Facts: x [N, 36] and y [N, 24]."""
        order = generator(seed, "facts").permutation(N_FACTS)
        test, train, left = np.split(order, [self.n_test, self.n_test + self.n_train])
        x, y = facts()
        own = {"test": test, "train": train, "validation": left}[stream]
        return x[own], y[own]
