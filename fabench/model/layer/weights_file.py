"""Weights that ``fabench export`` has written, for other networks to begin with: model.weights.

Names are those of parameters, W0 [1, I, O], b0 [1, 1, O], ...: see parameter.py.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fabench.model.layer.network import Layer
from fabench.model.layer.parameter import network_parameters
from fabench.schema import UserError, short


def read(path: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, by name. Raises UserError."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ModuleNotFoundError:
        raise UserError(
            f"model.weights={short(path)} needs safetensors: pip install 'fabench[safetensors]'."
        ) from None
    try:
        found: dict[str, Tensor] = load(Path(path).expanduser().read_bytes())
    except OSError as error:
        raise wrong(path, error.strerror or "it cannot be read") from error
    except SafetensorError as error:
        raise wrong(path, "it is no .safetensors file") from error
    return found


def wrong(path: str, what: str) -> UserError:
    """What is wrong with a file of weights, in a sentence."""
    return UserError(f"model.weights={short(path)}: {what}.")


def weights_of(path: str, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """A file's tensors that are a network's own parameters [1, ...]; what else it holds, feedback
    for example, is left. Raises UserError if one is missing, of another shape, or not finite."""
    found, weights = read(path), {}
    for name, parameter in network_parameters(layers).items():
        shape = (1, *parameter.shape)
        if name not in found:
            raise wrong(path, f"it has no {name} for this network")
        if found[name].shape != shape or not found[name].is_floating_point():
            raise wrong(path, f"its {name} is {list(found[name].shape)}, not {list(shape)}")
        if not found[name].isfinite().all():
            raise wrong(path, f"its {name} has values that are no numbers")
        weights[name] = found[name].float()
    return weights


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and bytes."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(f"{name} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
