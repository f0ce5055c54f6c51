"""What passes between the tests and a submission's process.

Towards the submission: a pickle, for we made it. From the submission: plain data only (numbers,
text, lists, tensors, names of functions), because unpickling what a stranger made is running it.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import torch

LONGEST = 64 * 2**20  # bytes of one message
DEEPEST = 20  # lists in lists
DTYPES = {
    str(dtype): dtype
    for dtype in (
        torch.float16, torch.float32, torch.float64, torch.int8, torch.uint8, torch.int16,
        torch.int32, torch.int64, torch.bool, torch.complex64, torch.complex128,
    )
}  # fmt: skip


class Malformed(Exception):
    """A message that is not of this protocol."""


def frame(message: bytes) -> bytes:
    """The message with its length in front."""
    return struct.pack(">Q", len(message)) + message


def encode(value: Any, keep: Any) -> bytes:
    """Plain data as bytes; `keep(f)` takes a function and returns the number it is kept under.

    Raises:
        TypeError: something that is not plain data.
    """
    blobs: list[bytes] = []

    def walk(value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise TypeError("it is nested too deeply")
        if value is ...:
            raise TypeError("no answer yet")
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int):
            return {"int": str(value)}
        if isinstance(value, float):
            return {"float": float(value).hex()}
        if isinstance(value, np.generic | np.ndarray):
            value = torch.from_numpy(np.array(value))
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().to_dense() if value.is_sparse else value.detach().cpu()
            if plain.dtype == torch.bfloat16:
                plain = plain.float()
            blobs.append(plain.contiguous().resolve_conj().resolve_neg().numpy().tobytes())
            return {"tensor": len(blobs) - 1, "dtype": str(plain.dtype), "shape": [*plain.shape]}
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [walk(part, depth + 1) for part in value]}
        if isinstance(value, dict):
            return {"dict": [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in value.items()]}
        if callable(value):
            return {"function": keep(value)}
        raise TypeError(f"it is a {type(value).__name__}, not a number, tensor, list or text")

    head = json.dumps({"value": walk(value, 0), "blobs": None}).encode()
    lengths = struct.pack(f">I{len(blobs)}Q", len(blobs), *map(len, blobs))
    return struct.pack(">Q", len(head)) + head + lengths + b"".join(blobs)


def decode(message: bytes, function: Any) -> Any:
    """What `encode` made; `function(number)` stands for a function that is kept over there.

    Raises:
        Malformed: any other bytes. They come from a stranger, so nothing in them is believed.
    """
    try:
        (size,) = struct.unpack_from(">Q", message)
        head = json.loads(message[8 : 8 + size])
        at = 8 + size
        (count,) = struct.unpack_from(">I", message, at)
        lengths = struct.unpack_from(f">{count}Q", message, at + 4)
        at += 4 + 8 * count
        blobs = []
        for length in lengths:
            blobs.append(message[at : at + length])
            at += length

        def walk(node: Any) -> Any:
            if node is None or isinstance(node, bool | str):
                return node
            if "int" in node:
                return int(node["int"])
            if "float" in node:
                return float.fromhex(node["float"])
            if "tensor" in node:
                return _tensor(blobs[node["tensor"]], DTYPES[node["dtype"]], node["shape"])
            if "list" in node:
                return [walk(part) for part in node["list"]]
            if "tuple" in node:
                return tuple(walk(part) for part in node["tuple"])
            if "dict" in node:
                return {walk(key): walk(value) for key, value in node["dict"]}
            return function(int(node["function"]))

        return walk(head["value"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, struct.error) as error:
        raise Malformed(f"not an answer: {type(error).__name__}") from None
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise Malformed(f"not an answer: {type(error).__name__}") from None


def _tensor(blob: bytes, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("a shape of integers")
    if math.prod(shape) * dtype.itemsize != len(blob):
        raise ValueError("bytes that do not fill the shape")
    if not blob:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(blob), dtype=dtype).reshape(shape)
