"""Low-rank branches as PEFT has them: adapter_model.safetensors beside adapter_config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InvalidArgument, InvalidEncoding, RuntimeFailure
from .._files import write_atomic
from .weights import chosen_weights, read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chosen_adapters", "write_adapters"]

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."


def write_adapters(folder: Path, branches: bytes) -> None:
    """Both files of PEFT, from the one that holds both. Errors: `RuntimeFailure`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeFailure(f"{folder}: cannot be made: {error.strerror or error}") from error
    write_atomic(folder / _CONFIG, json.dumps(_config_in(branches), indent=2).encode())
    write_atomic(folder / _WEIGHTS, branches)


def _config_in(branches: bytes) -> dict[str, Any]:
    """The configuration that the core put into the file's metadata."""
    header = json.loads(branches[8 : 8 + int.from_bytes(branches[:8], "little")])
    config: dict[str, Any] = json.loads(header["__metadata__"]["adapter_config"])
    return config


def chosen_adapters(
    branches: Mapping[str, NDArray[Any]], own: bytes, source: str | Path | bytes | Mapping[str, Any]
) -> dict[str, Any]:
    """`branches`, with the values of `source`, whose names are PEFT's. `own`: the file of the branches as they are.

    Errors: as `Trainer.load_adapters`.
    """
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        _check_scales(Path(source) / _CONFIG, _config_in(own))
        source = Path(source) / _WEIGHTS
    weights = {_plain(name): value for name, value in read_weights(source).items()}
    return chosen_weights(branches, weights, ["*"], strict=True)


def _plain(name: str) -> str:
    """Without what PEFT puts around a model, and its name of the only adapter, which its files leave out."""
    return name.removeprefix(_PREFIX).replace(".default.weight", ".weight")


def _check_scales(path: Path, ours: Mapping[str, Any]) -> None:
    """Errors: `InvalidArgument` when a branch is scaled in another way than ours is."""
    try:
        theirs = json.loads(path.read_bytes())
    except OSError as error:
        raise RuntimeFailure(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidEncoding(f"{path} is not JSON: {error}") from error
    if not isinstance(theirs, dict) or theirs.get("peft_type") != "LORA":
        raise InvalidEncoding(f"{path} is not the configuration of a LoRA adapter")
    for option in ("use_rslora", "use_dora"):
        if theirs.get(option):
            raise InvalidArgument(f"{path}: {option} is on; expected plain LoRA, scaled by lora_alpha / r")
    for module in ours["target_modules"]:
        rank, alpha = (_of_module(theirs, module, key) for key in ("r", "lora_alpha"))
        wanted = ours["alpha_pattern"][module] / ours["rank_pattern"][module]
        if (
            not isinstance(rank, (int, float))
            or not isinstance(alpha, (int, float))
            or alpha != wanted * rank
        ):
            raise InvalidArgument(
                f"{path}: the branch of {module!r} has r {rank} and lora_alpha {alpha}; here it is scaled by {wanted:g}"
            )


def _of_module(config: Mapping[str, Any], module: str, key: str) -> Any:
    """PEFT's value of `r` or `lora_alpha`: the first pattern that is the module or the end of its name, or all's."""
    for pattern, value in (config.get({"r": "rank_pattern"}.get(key, "alpha_pattern")) or {}).items():
        if module == pattern or module.endswith(f".{pattern}"):
            return value
    return config.get(key)
