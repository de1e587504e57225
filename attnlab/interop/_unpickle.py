"""Reads the tensors of one pickled checkpoint and writes them as safetensors. A separate program, never imported.

    python -I _unpickle.py CHECKPOINT OUTPUT

Only `attnlab.interop.checkpoint` starts it. It prints one line of JSON: ``{"left_out": [[path, what], ...]}`` or
``{"refused": "why"}``. Memory, CPU time and file size are limited before the first byte of the checkpoint is read.

No class or function that a file names is ever looked up. Each becomes an inert `Stub` that keeps what the file hands to it,
so a file can hold anything beside its weights; tensors are told by the names of the functions that rebuild them, and cut from
the bytes of their storages by NumPy. torch is not needed. Tensors are named by their path, joined by `SEPARATOR`.
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

SEPARATOR = "\x1f"
CPU_SECONDS = 30
SPARE_BYTES = 512 * 2**20
COPIES = 4  # a file may hold the same storage under several names: weights, their average, the best so far
DEEPEST = 12
MOST_LEFT_OUT = 200
TOO_LARGE = "needs more memory than its size explains"
SAVE_WEIGHTS = 'save its weights alone, as in torch.save(model.state_dict(), "weights.pth")'
REBUILD = "torch._utils._rebuild"  # the functions that make tensors
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of torch's old format
STORAGES = {  # storage class of torch -> dtype of safetensors, bytes
    "Double": ("F64", 8),
    "Float": ("F32", 4),
    "Half": ("F16", 2),
    "BFloat16": ("BF16", 2),
    "Long": ("I64", 8),
    "Int": ("I32", 4),
    "Short": ("I16", 2),
    "Char": ("I8", 1),
    "Byte": ("U8", 1),
    "Bool": ("BOOL", 1),
}
UNTYPED = {"float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1)} | {
    name: (f"U{bits}", bits // 8) for name, bits in (("uint16", 16), ("uint32", 32), ("uint64", 64))
}
ARRAYS = {  # dtype of NumPy -> dtype of safetensors, bytes
    "f8": ("F64", 8),
    "f4": ("F32", 4),
    "f2": ("F16", 2),
    "i8": ("I64", 8),
    "i4": ("I32", 4),
    "i2": ("I16", 2),
    "i1": ("I8", 1),
    "u1": ("U8", 1),
    "b1": ("BOOL", 1),
}


class Refused(Exception):
    """Why the file is not read, as a clause that follows its name."""


class Stub(dict):  # type: ignore[type-arg]
    """Stands for an object of any class or for the result of any function; keeps what the file hands to it, and does nothing.

    It is a dictionary, because subclasses of dict are filled item by item.
    """

    origin: ClassVar[str] = ""
    args: tuple[Any, ...]
    state: Any
    entries: list[Any]

    def __new__(cls, *args: Any, **options: Any) -> Stub:
        self = super().__new__(cls)
        self.args, self.state, self.entries = (*args, *options.values()), None, []
        return self

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()

    def __call__(self, *args: Any) -> Stub:
        return type(self)(*args)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, value: Any) -> None:
        self.entries.append(value)

    def extend(self, values: Any) -> None:
        self.entries.extend(values)

    add = append
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


@dataclass(eq=False)
class Storage:
    """A block of bytes that tensors are cut from.

    Attributes:
        kind: the storage class of torch, without its ending: "Float".
        start: of a view of another storage, in numbers.
    """

    kind: str
    data: bytes = b""
    base: Storage | None = None
    start: int = 0

    def bytes(self) -> bytes:
        return self.data if self.base is None else self.base.bytes()


@dataclass(frozen=True, eq=False)
class Array:
    """Numbers in a storage: dtype of safetensors, bytes per number, place of the first, size and stride by axis."""

    dtype: str
    item: int
    data: bytes
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    big_endian: bool = False

    @property
    def count(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    def check(self, name: str) -> None:
        """Checks that the storage holds as many numbers as the array claims, before any memory is taken for them."""
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        held = len(self.data) // self.item
        if self.count and (self.count > held or last >= held):
            raise Refused(f"claims more numbers than it holds: {name[:80]!r}")

    def content(self) -> bytes:
        """The numbers in the order of their axes, little-endian."""
        if not self.count:
            return b""
        plain = np.dtype(f"{'>' if self.big_endian else '<'}u{self.item}")
        numbers = np.frombuffer(self.data, plain, count=len(self.data) // self.item)[self.offset :]
        strides = tuple(step * self.item for step in self.stride)
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)
        return np.ascontiguousarray(view, plain.newbyteorder("<")).tobytes()


class Reader(pickle.Unpickler):
    """Reads a pickle in which every global is a `Stub`; tensors' storages are kept by key."""

    def __init__(self, file: Any, storages: dict[str, Storage], types: dict[tuple[str, str], type[Stub]]) -> None:
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self.storages, self.types = storages, types

    def find_class(self, module: str, name: str) -> type[Stub]:
        if (module, name) not in self.types:
            origin = f"{ {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module) }.{name}"
            self.types[module, name] = type("Stub", (Stub,), {"origin": origin})
        return self.types[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 3:
            raise Refused("is damaged, or was not written by torch.save")
        what, kind, key = pid[:3]
        if what == "module":  # the old format keeps the source text of a module beside its class
            return kind
        kind = origin(kind).rsplit(".", 1)[-1].removesuffix("Storage")
        storage = self.storages.setdefault(str(key), Storage(kind))
        view = pid[5] if len(pid) > 5 else None
        return storage if not view else Storage(kind, base=storage, start=whole(view[1]))


def limit(spare: int, file_bytes: int) -> None:
    """Limits memory to the current use plus ``spare``, and CPU time to the current use plus `CPU_SECONDS`, for good."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    used = resource.getrusage(resource.RUSAGE_SELF)
    for what, value in (
        (resource.RLIMIT_AS, mapped + spare),
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS),
        (resource.RLIMIT_FSIZE, COPIES * file_bytes + 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))


def whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Refused("is damaged: a tensor has an impossible shape")
    return value


def sizes(value: Any) -> tuple[int, ...]:
    """A shape or stride: a tuple, or `torch.Size` of one."""
    if isinstance(value, Stub):
        value = value.args[0] if value.args else ()
    return tuple(whole(size) for size in value)


def raw(value: Any) -> bytes:
    """Bytes, also as old pickles hold them: as text to encode."""
    if isinstance(value, Stub) and origin(value) == "_codecs.encode":
        value = value.args[0].encode("latin-1")
    if not isinstance(value, bytes | bytearray):
        raise Refused("is damaged: bytes are missing")
    return bytes(value)


def origin(value: Any) -> str:
    """The full name of the class or function behind a stub; "" for anything else."""
    if isinstance(value, type) and issubclass(value, Stub):
        return value.origin
    if not isinstance(value, Stub):
        return ""
    name = value.origin
    if name == "copyreg._reconstructor" and value.args:  # how old pickles make an object of a class
        return origin(value.args[0]) or name
    return name


def read_archive(path: Path) -> Any:
    """The content of a file of `torch.save`, which is a zip. Members are stored as they are: others are an attack."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        names = {name.split("/", 1)[-1] for name in members}
        if any(name.startswith(("code/", "constants.pkl")) for name in names):
            raise Refused(f"is a TorchScript file, a program; open it with torch.jit.load if you trust it, and {SAVE_WEIGHTS}")
        if "archive_format" in names or any(name.endswith(("exported_program.json", "models/model.json")) for name in names):
            raise Refused(f"is a program of torch.export; open it with torch.export.load if you trust it, and {SAVE_WEIGHTS}")
        if names and all(name.endswith(".npy") for name in names):
            raise Refused("is a NumPy archive; save the arrays as safetensors, under the names of the parameters")
        pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Refused("is an archive without the weights of a PyTorch model; if a checkpoint is inside, unpack it first")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise Refused("has compressed members, which torch never writes")
        if sum(member.file_size for member in members.values()) > path.stat().st_size:
            raise Refused("unpacks to more than its own size")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise Refused("was written on a big-endian machine; save it as safetensors")
        storages: dict[str, Storage] = {}
        content = Reader(io.BytesIO(archive.read(pickles[0])), storages, {}).load()
        for key, storage in storages.items():
            storage.data = archive.read(f"{root}data/{key}")
    return content


def read_pickles(file: Any) -> Any:
    """The content of a file in torch's old format, a row of pickles and then the storages, or of a plain pickle."""
    storages: dict[str, Storage] = {}
    types: dict[tuple[str, str], type[Stub]] = {}
    content = Reader(file, storages, types).load()
    if content != MAGIC_NUMBER:
        return content
    for _ in ("version of the format", "machine"):
        Reader(file, storages, types).load()
    content = Reader(file, storages, types).load()
    for key in Reader(file, storages, types).load():
        storage = storages.get(str(key))
        count = int.from_bytes(file.read(8), "little")
        if storage is None or storage.kind not in STORAGES:
            raise Refused("holds a tensor that is not plain numbers")
        needed = count * STORAGES[storage.kind][1]
        storage.data = file.read(needed)
        if len(storage.data) < needed:
            raise Refused("is damaged: it is cut off")
    return content


def as_array(value: Any) -> Array | None:
    """The tensor or NumPy array that a stub stands for; `None` for anything else."""
    name = origin(value).rsplit(".", 1)[-1] if isinstance(value, Stub) else ""
    args: tuple[Any, ...] = value.args if name else ()
    match name:
        case "_rebuild_tensor_v2" | "_rebuild_tensor" | "_rebuild_tensor_v3":
            storage = args[0]
            if isinstance(storage, Stub) and origin(storage) == "torch.storage._load_from_bytes":  # pickle.dump of tensors
                storage = read_pickles(io.BytesIO(raw(storage.args[0])))
            if not isinstance(storage, Storage):
                return None
            dtype = UNTYPED.get(origin(args[6]).rsplit(".", 1)[-1]) if name.endswith("3") else STORAGES.get(storage.kind)
            if dtype is None:  # complex or quantized
                return None
            shape, stride = sizes(args[2]), sizes(args[3])
            return Array(*dtype, storage.bytes(), storage.start + whole(args[1]), shape, stride)
        case "_rebuild_parameter" | "_rebuild_parameter_with_state" | "_rebuild_device_tensor_from_cpu_tensor":
            return as_array(args[0])
        case "_rebuild_from_type_v2":  # a subclass of Tensor: function, class, arguments, state
            return as_array(args[0](*args[2]))
        case "_rebuild_device_tensor_from_numpy":
            return as_array(args[0])
        case "_reconstruct":  # an array of NumPy; its state is version, shape, dtype, Fortran order, bytes
            _, shape, dtype, fortran, data = value.state
            return numpy_array(data, dtype, sizes(shape), bool(fortran))
        case "_frombuffer":
            data, dtype, shape, order = args
            return numpy_array(data, dtype, sizes(shape), order == "F")
    return None


def numpy_array(data: Any, dtype: Any, shape: tuple[int, ...], fortran: bool) -> Array | None:
    """An array from its pickled parts; `None` where its numbers are not plain ones."""
    code = dtype.args[0] if isinstance(dtype, Stub) and dtype.args else None
    if code not in ARRAYS:
        return None
    stride, step = [0] * len(shape), 1
    for axis in range(len(shape)) if fortran else reversed(range(len(shape))):
        stride[axis], step = step, step * shape[axis]
    big = isinstance(dtype.state, tuple) and len(dtype.state) > 1 and dtype.state[1] == ">"
    return Array(*ARRAYS[code], raw(data), 0, shape, tuple(stride), big)


def attributes(value: Any) -> dict[Any, Any]:
    """The attributes of the object that a stub stands for."""
    parts = value.state if isinstance(value.state, tuple) else (value.state,)
    return {name: inner for part in parts if isinstance(part, dict) for name, inner in part.items()}


def is_module(value: Any) -> bool:
    return isinstance(value, Stub) and {"_modules", "_parameters"} <= attributes(value).keys()


def is_optimizer(value: Any) -> bool:
    names = {**value, **(attributes(value) if isinstance(value, Stub) else {})} if isinstance(value, dict) else {}
    return "param_groups" in names


def describe(value: Any) -> str:
    """What is left out, in words."""
    if is_module(value):
        return f"whole model, {origin(value)}"
    if is_optimizer(value):
        return "state of an optimizer"
    name = origin(value)
    if name.endswith("multiarray.scalar"):
        return "NumPy number"
    if name.endswith("multiarray._reconstruct"):
        return "NumPy array"
    if name.startswith(REBUILD):
        return "tensor that is not plain numbers"
    if name and name not in ("collections.OrderedDict", "collections.defaultdict"):
        return name
    for types, words in ((dict, "dictionary"), (list | tuple, "list"), (str | bytes, "text"), (int | float, "number")):
        if isinstance(value, types):
            return words
    return type(value).__name__


def children(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container or an object holds, by name; of a list only what may hold tensors."""
    if isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items() if inner is not None)
    if isinstance(value, Stub):
        if origin(value).endswith(".OrderedDict") and value.args:  # Python 2 hands over the pairs at once
            yield from ((str(pair[0]), pair[1]) for pair in value.args[0])
        yield from ((str(key), inner) for key, inner in attributes(value).items() if key != "_metadata")
    entries = (*value.args, *value.entries) if isinstance(value, Stub) else value if isinstance(value, list | tuple) else ()
    yield from ((str(place), inner) for place, inner in enumerate(entries) if isinstance(inner, dict | list | tuple))


class Finder:
    """Collects the tensors of a checkpoint and says what else is in it, entry by entry, where there are tensors beside it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.left_out: list[tuple[str, str]] = []
        self.seen: dict[int, bool] = {}

    def search(self, value: Any, path: tuple[str, ...] = ()) -> bool:
        """Whether there are tensors in ``value``, the entry at ``path``."""
        array = as_array(value)
        if array is not None:
            self.arrays.setdefault(SEPARATOR.join(path), array)
            return True
        if not isinstance(value, dict | list | tuple) or len(path) > DEEPEST:
            return False
        if is_module(value) or is_optimizer(value) or origin(value).startswith(REBUILD):
            return False
        if id(value) not in self.seen:
            inside = [(name, inner, self.search(inner, (*path, name))) for name, inner in children(value)]
            self.seen[id(value)] = any(found for *_, found in inside)
            if self.seen[id(value)]:
                lacking = [(name, inner) for name, inner, found in inside if not found]
                self.left_out += [(SEPARATOR.join((*path, name))[:200], describe(inner)[:200]) for name, inner in lacking]
        return self.seen[id(value)]


def write(arrays: dict[str, Array], target: Path) -> None:
    """Writes arrays as a safetensors file: the length of a header of JSON, the header, the numbers."""
    header, end = {}, 0
    for name, array in arrays.items():
        start, end = end, end + array.count * array.item
        header[name] = {"dtype": array.dtype, "shape": array.shape, "data_offsets": (start, end)}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with target.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for array in arrays.values():
            file.write(array.content())


def convert(source: Path, target: Path) -> list[tuple[str, str]]:
    """Writes the tensors of ``source``; what was left out."""
    file_bytes = source.stat().st_size
    limit(COPIES * file_bytes + SPARE_BYTES, file_bytes)
    if zipfile.is_zipfile(source):
        content = read_archive(source)
    else:
        with source.open("rb") as file:
            content = read_pickles(file)
    finder = Finder()
    finder.search(content)
    if not finder.arrays:
        raise Refused(without_weights(content))
    for name, array in finder.arrays.items():
        array.check(name.replace(SEPARATOR, "."))
    if sum(array.count * array.item for array in finder.arrays.values()) > COPIES * file_bytes:
        raise Refused("claims more numbers than it holds")
    write(finder.arrays, target)
    return finder.left_out[:MOST_LEFT_OUT]


def without_weights(content: Any) -> str:
    """Why there is nothing to read in a checkpoint without tensors."""
    inside = [content, *(inner for _, inner in children(content))]
    for value in inside:
        if is_module(value):
            return f"holds a whole pickled model ({origin(value)}), which only its own code can open; {SAVE_WEIGHTS}"
    held = ", ".join(f"{name} ({describe(inner)})" for name, inner in list(children(content))[:5]) or origin(content)
    return f"holds no tensors{held and f', only {held}'}; {SAVE_WEIGHTS}"


def main() -> None:
    verdict: dict[str, Any]
    try:
        verdict = {"left_out": convert(Path(sys.argv[1]), Path(sys.argv[2]))}
    except Refused as reason:
        verdict = {"refused": str(reason)}
    except MemoryError:
        verdict = {"refused": TOO_LARGE}
    except Exception:  # pickle and zipfile raise a dozen types of error on damaged files
        verdict = {"refused": "is damaged, or was not written by torch.save"}
    print(json.dumps(verdict))


if __name__ == "__main__":
    main()
