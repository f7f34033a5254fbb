"""Checkpoints on disk: weights as safetensors, everything else as a JSON card beside them, written atomically.

`<name>.safetensors` holds the weights, `<name>.json` the card: what the model is, how it was made, how good it is, and
the sha256 of the weights, so that the two files are known to belong together.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor, nn

from tftutor import __version__
from tftutor.config import config_from_dict, config_to_dict

CHECKPOINTS = Path(__file__).parent / "checkpoints"
_MODELS = {
    "EncoderDecoderConfig": ("tftutor.models", "EncoderDecoder"),
    "GPTConfig": ("tftutor.models", "GPT"),
    "BertConfig": ("tftutor.models", "Bert"),
    "RecurrentConfig": ("tftutor.models", "RecurrentSeq2Seq"),
    "HybridConfig": ("tftutor.models", "Hybrid"),
}


class CheckpointError(ValueError):
    """A checkpoint or a training state cannot be used; the message is one line with file, expectation and fact."""


def atomic_write(path: str | os.PathLike[str], writer: Callable[[BinaryIO], object]) -> None:
    """Let `writer` write a file, and put it at `path` only when it is complete and on the disk.

    A reader of `path` sees the old file or the new one, never a part, whenever the process or the machine stops.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed inside `atomic_write` left beside `path`."""
    path = Path(path)
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        part.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write `data` as indented JSON, atomically."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    atomic_write(path, lambda file: file.write(text.encode()))


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-ready description into one file, atomically, with a checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    metadata = {"about": json.dumps(about, allow_nan=False), "sha256": _digest(tensors)}
    content = bytes_of_tensors(tensors, metadata=metadata)
    atomic_write(path, lambda file: file.write(content))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the description that `write_tensors` wrote.

    Raises:
        CheckpointError: when the file is missing, truncated, damaged, or of another kind.
    """
    tensors, metadata = _parse_safetensors(_read(path, "a safetensors file"), path)
    try:
        about, digest = json.loads(metadata["about"]), metadata["sha256"]
    except (KeyError, ValueError):
        raise CheckpointError(f"{path}: expected a file written by tftutor, got one without its description") from None
    if digest != _digest(tensors):
        raise CheckpointError(f"{path}: expected the tensors that were written, got others; the file is damaged")
    return tensors, about


def save_model(
    path: str | os.PathLike[str], model: nn.Module, *, card: Mapping[str, Any], dtype: torch.dtype = torch.float16
) -> Path:
    """Write `<path>.safetensors` and `<path>.json`.

    Args:
        path: the files' common stem; an ending `.safetensors` or `.json` is ignored.
        model: has its architecture under `cfg`. A tensor used in two places is stored once.
        card: what to add to the configuration, the weights' sha256 and the version of tftutor.
        dtype: to which floating-point weights are rounded.

    Returns:
        The path of the weights.

    Raises:
        CheckpointError: when a weight is not finite once rounded; nothing is written.
    """
    stem = _stem(path)
    tensors = {}
    for name, tensor in _own_tensors(model).items():
        tensor = tensor.detach().cpu()
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{name}: expected finite weights in {dtype}, got an infinite one or NaN")
        tensors[name] = tensor.contiguous()
    content = bytes_of_tensors(dict(sorted(tensors.items())), metadata={"format": "tftutor"})
    full = {
        **card,
        "config": config_to_dict(model.cfg),
        "tftutor": __version__,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    weights = stem.with_name(stem.name + ".safetensors")
    atomic_write(weights, lambda file: file.write(content))
    write_json(stem.with_name(stem.name + ".json"), full)
    return weights


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a checkpoint, without its weights."""
    file = _stem(path)
    file = file.with_name(file.name + ".json")
    try:
        card = json.loads(_read(file, "the card of a checkpoint"))
    except CheckpointError:
        raise
    except ValueError:
        raise CheckpointError(f"{file}: expected a card in JSON, got something else or a part of one") from None
    fields = card if isinstance(card, dict) else {}
    if not isinstance(fields.get("config"), dict) or not isinstance(fields.get("sha256"), str):
        raise CheckpointError(f"{file}: expected a card of tftutor with config and sha256, got other JSON")
    return card


def build_model(cfg: Any) -> nn.Module:
    """A new model of the class in tftutor.models that `cfg` describes, with random weights."""
    module, name = _MODELS[type(cfg).__name__]
    return getattr(importlib.import_module(module), name)(cfg)


def load_model(
    path: str | os.PathLike[str], *, model_class: Callable[[Any], nn.Module] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """A model in float32 and evaluation mode, and its card.

    Args:
        path: stem of the two files, or either of them.
        model_class: makes the model from its config; None: `build_model`.

    Raises:
        CheckpointError: when a file is missing, truncated, damaged or foreign, or the two do not belong together.
    """
    card = read_card(path)
    weights = _stem(path)
    weights = weights.with_name(weights.name + ".safetensors")
    content = _read(weights, "a safetensors file")
    tensors, _ = _parse_safetensors(content, weights)
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise CheckpointError(
            f"{weights}: expected sha256 {card['sha256'][:12]}... as on its card, got {digest[:12]}...; "
            "the file is damaged or belongs to another card"
        )
    try:
        cfg = config_from_dict(card["config"])
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{_stem(path)}.json: {error}") from None
    model = (model_class or build_model)(cfg)
    copy_tensors(tensors, _own_tensors(model), source=str(weights))
    return model.float().eval(), card


def load(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """A checkpoint that is shipped with the package, by its name, such as "g2p"."""
    known = shipped()
    if name not in known:
        listed = ", ".join(known) or "none"
        raise CheckpointError(f"name: expected a shipped checkpoint ({listed}), got {name!r}")
    return load_model(CHECKPOINTS / name)


def shipped() -> list[str]:
    """The names of the checkpoints shipped with the package."""
    return sorted(path.stem for path in CHECKPOINTS.glob("*.safetensors"))


def copy_tensors(source_tensors: Mapping[str, Tensor], targets: Mapping[str, Tensor], *, source: str) -> None:
    """Copy each tensor into the target of the same name; all names and shapes must agree.

    Raises:
        CheckpointError: when they do not; nothing has been copied then.
    """
    missing, extra = sorted(targets.keys() - source_tensors), sorted(source_tensors.keys() - targets)
    if missing or extra:
        example = f"no {missing[0]}" if missing else f"an unknown {extra[0]}"
        raise CheckpointError(f"{source}: expected the {len(targets)} tensors of the model, got {example}")
    for name, target in targets.items():
        if source_tensors[name].shape != target.shape:
            want, got = tuple(target.shape), tuple(source_tensors[name].shape)
            raise CheckpointError(f"{source}: expected {name} of shape {want}, got {got}")
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(source_tensors[name])


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, each once, under the first of its names."""
    seen: set[int] = set()
    own = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            own[name] = tensor
    return own


def _read(path: str | os.PathLike[str], what: str) -> bytes:
    """All bytes of a file, read at once: another process may replace it meanwhile."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected {what}, got a path where no file is") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: expected {what} that can be read, got: {reason}") from None


def _parse_safetensors(content: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file's content, and its metadata. `path` names it in messages."""
    try:
        tensors = tensors_of_bytes(content)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: expected a whole safetensors file, got: {reason}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # its length, then JSON
    return tensors, header.get("__metadata__") or {}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _stem(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".safetensors", ".json") else path


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system allows it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
