"""StorageLab's engines from Python, through libstoragelab and ctypes alone.

    import storagelab
    with storagelab.open("/tmp/planes", engine="lsm", durability="commit") as db:
        db[b"plane/1"] = b"Concorde"
        for key, value in db.scan(prefix=b"plane/"):
            print(key, value)

The library is looked for at STORAGELAB_LIBRARY, then where the system looks.
"""

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p


def _load():
    library = ctypes.CDLL(os.environ.get("STORAGELAB_LIBRARY", "libstoragelab.so"))
    data, handle, out, error = (c_char_p, c_size_t), c_void_p, POINTER(c_void_p), POINTER(c_void_p)
    length = POINTER(c_size_t)
    calls = {
        "version": ([], c_char_p),
        "engines": ([], c_char_p),
        "status_name": ([c_int], c_char_p),
        "free": ([c_void_p], None),
        "error_description": ([handle], c_char_p),
        "error_message": ([handle], c_char_p),
        "error_path": ([handle], c_char_p),
        "error_offset": ([handle], c_int64),
        "error_free": ([handle], None),
        "options_create": ([], handle),
        "options_set_engine": ([handle, c_char_p, error], c_int),
        "options_set_durability": ([handle, c_char_p, error], c_int),
        "options_set_cache_bytes": ([handle, c_uint64, error], c_int),
        "options_set_create_if_missing": ([handle, c_bool, error], c_int),
        "options_set_read_only": ([handle, c_bool, error], c_int),
        "options_destroy": ([handle], None),
        "open": ([c_char_p, handle, out, error], c_int),
        "close": ([handle, error], c_int),
        "put": ([handle, *data, *data, error], c_int),
        "delete": ([handle, *data, error], c_int),
        "delete_range": ([handle, *data, *data, error], c_int),
        "write": ([handle, handle, error], c_int),
        "get": ([handle, *data, out, length, error], c_int),
        "sync": ([handle, error], c_int),
        "checkpoint": ([handle, error], c_int),
        "compact": ([handle, error], c_int),
        "verify": ([handle, error], c_int),
        "backup": ([handle, c_char_p, error], c_int),
        "properties": ([handle, out, error], c_int),
        "batch_create": ([], handle),
        "batch_put": ([handle, *data, *data, error], c_int),
        "batch_delete": ([handle, *data, error], c_int),
        "batch_destroy": ([handle], None),
        "snapshot_create": ([handle, out, error], c_int),
        "snapshot_get": ([handle, *data, out, length, error], c_int),
        "snapshot_release": ([handle], None),
        "iterator_create": ([handle, *data, *data, out, error], c_int),
        "snapshot_iterator_create": ([handle, *data, *data, out, error], c_int),
        "iterator_seek_to_first": ([handle, error], c_int),
        "iterator_seek_to_last": ([handle, error], c_int),
        "iterator_next": ([handle, error], c_int),
        "iterator_previous": ([handle, error], c_int),
        "iterator_is_valid": ([handle], c_bool),
        "iterator_key": ([handle, length], c_void_p),
        "iterator_value": ([handle, length], c_void_p),
        "iterator_destroy": ([handle], None),
    }
    for name, (arguments, result) in calls.items():
        function = getattr(library, "storagelab_" + name)
        function.argtypes, function.restype = arguments, result
    return library


_library = _load()
OK, NOT_FOUND = 0, 2


class Error(Exception):
    """What the library says went wrong; `status` is the name of the kind."""

    def __init__(self, status, message, path=None, offset=None):
        super().__init__(message)
        self.status, self.path, self.offset = status, path, offset


def _call(name, *arguments, absent=False):
    """Calls a function that returns a status; returns whether it found what it looked for."""
    error = c_void_p()
    status = getattr(_library, "storagelab_" + name)(*arguments, byref(error))
    if status == OK:
        return True
    if status == NOT_FOUND and absent and not error:
        return False
    message = (_library.storagelab_error_description(error) or b"").decode()
    path = _library.storagelab_error_path(error)
    offset = _library.storagelab_error_offset(error)
    _library.storagelab_error_free(error)
    raise Error(
        _library.storagelab_status_name(status).decode(), message, path and path.decode(),
        None if offset < 0 else offset)


def _made(name, *arguments):
    handle = c_void_p()
    _call(name, *arguments, byref(handle))
    return handle


def version():
    return _library.storagelab_version().decode()


def engines():
    return _library.storagelab_engines().decode().split(",")


def _successor(prefix):
    """The least key above all that begin with `prefix`; None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


class _View:
    """Reading, of a database or a snapshot."""

    _handle, _kind = None, ""

    def get(self, key, default=None):
        value, length = c_void_p(), c_size_t()
        found = _call(
            self._kind + "get", self._handle, key, len(key), byref(value), byref(length),
            absent=True)
        if not found:
            return default
        try:
            return ctypes.string_at(value, length.value)
        finally:
            _library.storagelab_free(value)

    def __getitem__(self, key):
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key):
        return self.get(key) is not None

    def scan(self, lower=None, upper=None, prefix=None, reverse=False):
        """Keys and values in order, from `lower` on and before `upper`, or of a prefix."""
        if prefix is not None:
            lower, upper = prefix, _successor(prefix)
        iterator = _made(
            self._kind + "iterator_create", self._handle, lower, len(lower or b""), upper,
            len(upper or b""))
        length = c_size_t()
        step = "iterator_previous" if reverse else "iterator_next"
        try:
            _call("iterator_seek_to_last" if reverse else "iterator_seek_to_first", iterator)
            while _library.storagelab_iterator_is_valid(iterator):
                key = _library.storagelab_iterator_key(iterator, byref(length))
                key = ctypes.string_at(key, length.value)
                value = _library.storagelab_iterator_value(iterator, byref(length))
                yield key, ctypes.string_at(value, length.value)
                _call(step, iterator)
        finally:
            _library.storagelab_iterator_destroy(iterator)


class Snapshot(_View):
    """One moment of a database."""

    _kind = "snapshot_"

    def __init__(self, db):
        self._handle = _made("snapshot_create", db._handle)

    def close(self):
        _library.storagelab_snapshot_release(self._handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Batch:
    """Changes that apply together: `with db.batch() as batch: …` writes them at its end."""

    def __init__(self, db):
        self._db, self._handle = db, _library.storagelab_batch_create()

    def __setitem__(self, key, value):
        _call("batch_put", self._handle, key, len(key), value, len(value))

    def __delitem__(self, key):
        _call("batch_delete", self._handle, key, len(key))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                _call("write", self._db._handle, self._handle)
        finally:
            _library.storagelab_batch_destroy(self._handle)


class Database(_View):
    def __init__(self, handle):
        self._handle = handle

    def __setitem__(self, key, value):
        _call("put", self._handle, key, len(key), value, len(value))

    def __delitem__(self, key):
        _call("delete", self._handle, key, len(key))

    def delete_range(self, lower, upper):
        _call("delete_range", self._handle, lower, len(lower), upper, len(upper))

    def batch(self):
        return Batch(self)

    def snapshot(self):
        return Snapshot(self)

    def sync(self):
        _call("sync", self._handle)

    def checkpoint(self):
        _call("checkpoint", self._handle)

    def compact(self):
        _call("compact", self._handle)

    def verify(self):
        """Reads and checks everything; raises the first problem."""
        _call("verify", self._handle)

    def backup(self, path):
        _call("backup", self._handle, os.fsencode(path))

    def properties(self):
        text = c_void_p()
        _call("properties", self._handle, byref(text))
        try:
            lines = ctypes.string_at(text).decode().splitlines()
        finally:
            _library.storagelab_free(text)
        return dict(line.split(" ", 1) for line in lines)

    def close(self):
        _call("close", self._handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def open(path, engine=None, durability="process", cache_bytes=64 << 20, create=True,
         read_only=False):
    """Opens the database in directory `path`, made when it is missing unless `create` is false."""
    options = _library.storagelab_options_create()
    try:
        if engine is not None:
            _call("options_set_engine", options, engine.encode())
        _call("options_set_durability", options, durability.encode())
        _call("options_set_cache_bytes", options, cache_bytes)
        _call("options_set_create_if_missing", options, create)
        _call("options_set_read_only", options, read_only)
        return Database(_made("open", os.fsencode(path), options))
    finally:
        _library.storagelab_options_destroy(options)
