"""Saving and loading: ``mt.save(obj, path)`` and ``mt.load(path)``.

A file is a NumPy .npz archive, which ``np.load`` opens too: one array per tensor, under the tensor's name,
and an entry microtensor.json, which tells how they were nested and holds all that is not a tensor. There is
no pickle in it, so loading never runs what a file contains.
"""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Mapping

import numpy as np

from microtensor.core import Tensor, from_numpy

_HEADER = "microtensor.json"
_VERSION = 1


def save(obj, f):
    """Write tensors to a file, which appears whole or not at all.

    The numbers go to a new file, which takes f's place, with its permissions, when it is complete: an
    interrupted save leaves the old file as it was. Where f is a symbolic link, the file that it names is
    replaced. Equal contents give equal files, byte for byte.

    Args:
        obj: a tensor, number (NumPy's become Python's), string, bool or None, or a dict, list or tuple of such: a
            ``state_dict()``, or several in a dict, with what it takes to rebuild the model.
        f: the path, conventionally ending in .npz.

    Raises:
        TypeError: if obj holds anything else; nothing is written then.
        OSError: if the file cannot be written.

    >>> import microtensor as mt
    >>> mt.save({"weight": mt.ones(2), "epoch": 3}, path)       # doctest: +SKIP
    >>> mt.load(path)                                           # doctest: +SKIP
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    import json
    import zipfile  # here and below: on first use, as an import of microtensor rarely saves

    from numpy.lib import format as npy

    arrays = {}
    header = {"version": _VERSION, "content": _pack(obj, "", arrays)}
    with replacement(f) as file, zipfile.ZipFile(file, "w") as archive:
        # ZipInfo(name), because a plain name would be stamped with the time of day.
        archive.writestr(zipfile.ZipInfo(_HEADER), json.dumps(header, indent=1))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as entry:
                npy.write_array(entry, array, allow_pickle=False)


@contextlib.contextmanager
def replacement(path):
    """A file to write bytes into, which takes the path's place, with its permissions, once it is whole.

    Until then it has no name where the system can do that (Linux): nothing is left of it if the process is killed.
    """
    from pathlib import Path  # on first use, too

    path = Path(os.path.realpath(path))
    unnamed = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
    # In the same folder, as a file moves in one step only within a file system; short, as the path's name may be long.
    name = path.with_name(f".{os.getpid()}-{threading.get_ident()}.partial")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    access = 0o666 if mode is None else 0o600       # less the umask, as for any new file
    flags = os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path.parent, flags | os.O_TMPFILE, access) if unnamed else None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):      # what file systems without it say
            raise
        unnamed = False
    if not unnamed:
        descriptor = os.open(name, flags | os.O_CREAT | os.O_TRUNC, access)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.chmod(descriptor if unnamed else name, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
            if unnamed:
                name.unlink(missing_ok=True)
                # src_dir_fd means nothing to a path from the root, but makes Python follow that link.
                os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True)
        os.replace(name, path)
    finally:
        name.unlink(missing_ok=True)


def load(f):
    """Read what ``save`` wrote.

    Args:
        f: the path.

    Returns:
        What was saved, nested as it was. Tensors have their dtype and require no gradient.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file was not written by ``save``, is damaged, or comes from a newer version.
    """
    import json
    import zipfile

    with open(f, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("it is compressed, which mt.save never does")
                header = json.loads(archive.read(_HEADER))
                if header["version"] > _VERSION:
                    raise ValueError(f"its version is {header['version']}, the newest known here {_VERSION}")
                return _unpack(header["content"], archive)
        except Exception as error:      # damage shows as an error of zipfile, a decompressor, json or NumPy
            message = f"{os.fspath(f)}: expected a file written by mt.save, whole and undamaged: {error}"
            raise ValueError(message) from error


def _pack(obj, name, arrays):
    """Move the tensors of obj into arrays, and describe the rest in the terms of JSON."""
    if isinstance(obj, Tensor):
        if not name.isprintable() or len(name) > 200:       # a zip archive cuts or refuses some names
            name = ""
        name = name or "tensor"
        while name in arrays:
            name += "_"
        arrays[name] = obj.detach().numpy()
        return {"tensor": name}
    if isinstance(obj, Mapping):
        for key in obj:
            if not _is_plain(key):
                raise TypeError(f"mt.save: a key of the dict {name or 'obj'!r} is a {type(key).__name__}, "
                                "and can be a string, number, bool or None")
        return {"dict": [[key, _pack(value, _inside(name, key), arrays)] for key, value in obj.items()]}
    if isinstance(obj, (list, tuple)):
        kind = "list" if isinstance(obj, list) else "tuple"
        return {kind: [_pack(value, _inside(name, i), arrays) for i, value in enumerate(obj)]}
    if isinstance(obj, np.generic):
        obj = obj.item()
    if _is_plain(obj):
        return obj
    raise TypeError(f"mt.save cannot write {name or 'obj'!r}, a {type(obj).__name__}: it writes tensors, "
                    "numbers, strings, bools and None, in dicts, lists and tuples")


def _unpack(described, archive):
    """The inverse of _pack."""
    if not isinstance(described, dict):
        return described
    (kind, value), = described.items()
    if kind == "tensor":
        import io

        from numpy.lib import format as npy

        # The whole entry first: its checksum is verified before anything in it is believed.
        return from_numpy(npy.read_array(io.BytesIO(archive.read(value + ".npy")), allow_pickle=False))
    if kind == "dict":
        return {key: _unpack(item, archive) for key, item in value}
    return {"list": list, "tuple": tuple}[kind](_unpack(item, archive) for item in value)


def _inside(name, key):
    return f"{name}/{key}" if name else str(key)


def _is_plain(value):
    return value is None or isinstance(value, (bool, int, float, str))
