/* StorageLab's storage engines from C, and so from any language: a B-tree, an LSM tree and SQLite
 * behind one interface of ordered byte strings. docs/guide/c-api.md is the introduction.
 *
 * Conventions
 *
 * - Bytes are a pointer and a length; they may hold any byte and need no end mark. A pointer may be
 *   NULL where its length is 0. Keys have 1 B to 64 KiB, values 0 B to the database's limit.
 *   What is passed in is copied before a function returns.
 * - A function that can fail returns a status: STORAGELAB_OK, which is 0, or what went wrong. Its last
 *   argument may be NULL, or the address of a variable that is NULL or holds an earlier error; on
 *   failure the earlier one is freed and a new one put there, on success the variable is left alone.
 * - A handle is a number dressed as a pointer, never an address. NULL, one that was closed or
 *   destroyed, and one of another kind are found out in every function: it returns
 *   STORAGELAB_CLOSED, or for those that return no status, what their comment says.
 * - Any number of threads may use a database and a snapshot at a time, and close them while others
 *   do. Options, batches, iterators and errors are for one thread at a time.
 * - What is marked "free with storagelab_free" came from malloc.
 * - A function's results (value, length, handle) are set on success only, where nothing else is said.
 * - The library prints nothing, reads no environment and never ends the process.
 * - After fork only the parent may use the handles.
 *
 * The names and numbers here do not change within one major version. Needs 64-bit addresses.
 */
#ifndef STORAGELAB_H
#define STORAGELAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STORAGELAB_VERSION_MAJOR 0
#define STORAGELAB_VERSION_MINOR 1
#define STORAGELAB_VERSION_PATCH 0

typedef struct storagelab_options storagelab_options;
typedef struct storagelab_db storagelab_db;
typedef struct storagelab_batch storagelab_batch;
typedef struct storagelab_snapshot storagelab_snapshot;
typedef struct storagelab_iterator storagelab_iterator;
typedef struct storagelab_error storagelab_error;

typedef enum storagelab_status {
  STORAGELAB_OK = 0,
  /* An argument is outside what is accepted: key or value too large, bad option, NULL for a result,
   * an iterator moved that stands nowhere. */
  STORAGELAB_INVALID_ARGUMENT = 1,
  /* No such database or engine. From storagelab_get and its kin: no such key, and then no error
   * object is made. */
  STORAGELAB_NOT_FOUND = 2,
  /* The directory is another engine's, or holds something else. */
  STORAGELAB_WRONG_FORMAT = 3,
  /* The format is newer than this library. */
  STORAGELAB_UNSUPPORTED_VERSION = 4,
  /* Bytes on disk are not those that were written. The error names file and offset. */
  STORAGELAB_CORRUPTION = 5,
  /* The database is open elsewhere, in this process or another. */
  STORAGELAB_LOCKED = 6,
  /* The device is full. Everything acknowledged is intact. */
  STORAGELAB_NO_SPACE = 7,
  /* Opened for reading only, or the medium is. */
  STORAGELAB_READ_ONLY = 8,
  /* The operating system refused a call. */
  STORAGELAB_IO = 9,
  /* The handle is NULL, closed, destroyed, or of another kind. */
  STORAGELAB_CLOSED = 10,
  /* The engine refuses writes after a failure that it cannot undo; reads go on. Open it again. */
  STORAGELAB_WRITES_REFUSED = 11,
  /* The engine cannot do this. */
  STORAGELAB_UNSUPPORTED = 12,
  /* The value is longer than the caller's buffer. No error object is made. */
  STORAGELAB_TRUNCATED = 13
} storagelab_status;

/* ---- Library ---------------------------------------------------------------------------------- */

/* "0.1.0". Lives forever. */
const char *storagelab_version(void);

/* The engines of this build, such as "btree,lsm,sqlite,memory". Lives forever. */
const char *storagelab_engines(void);

/* The status's name, such as "corruption"; "unknown" for other numbers. Lives forever. */
const char *storagelab_status_name(storagelab_status status);

/* Frees what the library allocated for the caller. NULL does nothing. */
void storagelab_free(void *pointer);

/* ---- Errors ----------------------------------------------------------------------------------- */

/* What happened. Texts live as long as the error; for a bad handle they are NULL. */
storagelab_status storagelab_error_status(const storagelab_error *error);
/* Everything in one line: what, where, what to do. */
const char *storagelab_error_description(const storagelab_error *error);
/* What alone. */
const char *storagelab_error_message(const storagelab_error *error);
/* What to do, as a sentence; NULL when there is nothing to say. */
const char *storagelab_error_remedy(const storagelab_error *error);
/* The file; NULL when none is concerned. */
const char *storagelab_error_path(const storagelab_error *error);
/* The byte in the file; -1 when none is concerned. */
int64_t storagelab_error_offset(const storagelab_error *error);
/* The operating system's errno; 0 when it had no part. */
int storagelab_error_errno(const storagelab_error *error);
/* NULL does nothing, nor does freeing twice. */
void storagelab_error_free(storagelab_error *error);

/* ---- Options ---------------------------------------------------------------------------------- */

/* Defaults: any engine's existing database, else a new B-tree; class "process"; 64 MiB of cache.
 * NULL when there are too many handles (a million). */
storagelab_options *storagelab_options_create(void);

/* "btree", "lsm", "sqlite", "memory", or one with settings, such as "lsm:tiered". */
storagelab_status storagelab_options_set_engine(
    storagelab_options *options, const char *engine, storagelab_error **error);

/* What an acknowledged write survives: "none", "process" (a kill), "interval" or "interval:50" (power
 * loss, but for the last 100 or 50 ms), "commit" (power loss). */
storagelab_status storagelab_options_set_durability(
    storagelab_options *options, const char *durability, storagelab_error **error);

/* Budget for cached pages or blocks. Write buffers count apart. */
storagelab_status storagelab_options_set_cache_bytes(
    storagelab_options *options, uint64_t bytes, storagelab_error **error);

/* Bytes of writes that an LSM tree gathers in memory; 0 leaves it to the engine. */
storagelab_status storagelab_options_set_write_buffer_bytes(
    storagelab_options *options, uint64_t bytes, storagelab_error **error);

/* Upper limit on a value; 1 GiB. */
storagelab_status storagelab_options_set_maximum_value_bytes(
    storagelab_options *options, uint64_t bytes, storagelab_error **error);

/* Make directory and database when there is none; true. */
storagelab_status storagelab_options_set_create_if_missing(
    storagelab_options *options, bool create, storagelab_error **error);

/* Refuse writes and change no byte on disk; false. */
storagelab_status storagelab_options_set_read_only(
    storagelab_options *options, bool read_only, storagelab_error **error);

/* What merges mean, in engines that have them: "counter" (adds little-endian signed 64-bit numbers),
 * "append" (comma between), or "append:" and a separator. NULL refuses merges, the default. */
storagelab_status storagelab_options_set_merge_operator(
    storagelab_options *options, const char *name, storagelab_error **error);

/* NULL does nothing, nor does destroying twice. Databases opened with them stay as they are. */
void storagelab_options_destroy(storagelab_options *options);

/* ---- Databases -------------------------------------------------------------------------------- */

/* Opens the database in directory `path`, with NULL options for the defaults. An existing one is
 * recovered. Close it with storagelab_close. */
storagelab_status storagelab_open(
    const char *path, const storagelab_options *options, storagelab_db **db,
    storagelab_error **error);

/* Finishes background work, makes everything durable, releases the directory. Calls in other threads
 * end, with STORAGELAB_CLOSED where they cannot be done; the handle is closed whatever is returned.
 * Snapshots and iterators answer STORAGELAB_CLOSED from then on and are still to be destroyed. */
storagelab_status storagelab_close(storagelab_db *db, storagelab_error **error);

/* Sets a value. Returns once the write is as durable as the options say. */
storagelab_status storagelab_put(
    storagelab_db *db, const void *key, size_t key_length, const void *value, size_t value_length,
    storagelab_error **error);

/* Removes a key; no error when it is absent. */
storagelab_status storagelab_delete(
    storagelab_db *db, const void *key, size_t key_length, storagelab_error **error);

/* Removes the keys from `lower`, included, to `upper`, excluded. */
storagelab_status storagelab_delete_range(
    storagelab_db *db, const void *lower, size_t lower_length, const void *upper,
    size_t upper_length, storagelab_error **error);

/* Changes a value as the merge operator says, without reading it. */
storagelab_status storagelab_merge(
    storagelab_db *db, const void *key, size_t key_length, const void *operand,
    size_t operand_length, storagelab_error **error);

/* Applies a batch, all of it or nothing. The batch is unchanged. */
storagelab_status storagelab_write(
    storagelab_db *db, const storagelab_batch *batch, storagelab_error **error);

/* The value of a key, free with storagelab_free (never NULL on success, also when it is empty).
 * STORAGELAB_NOT_FOUND when there is none; then *value is NULL. */
storagelab_status storagelab_get(
    storagelab_db *db, const void *key, size_t key_length, void **value, size_t *value_length,
    storagelab_error **error);

/* The value into the caller's buffer. *value_length is its whole length; when that is over
 * `capacity` the buffer holds its beginning and the status is STORAGELAB_TRUNCATED. With capacity 0
 * and any buffer this asks for the length. STORAGELAB_NOT_FOUND when there is none. */
storagelab_status storagelab_get_into(
    storagelab_db *db, const void *key, size_t key_length, void *buffer, size_t capacity,
    size_t *value_length, storagelab_error **error);

/* ---- Upkeep ----------------------------------------------------------------------------------- */

/* Makes every acknowledged write survive power loss, whatever the class. */
storagelab_status storagelab_sync(storagelab_db *db, storagelab_error **error);

/* Bounds recovery: afterwards no log need be replayed. */
storagelab_status storagelab_checkpoint(storagelab_db *db, storagelab_error **error);

/* Brings reads and space to their best, and returns when done. */
storagelab_status storagelab_compact(storagelab_db *db, storagelab_error **error);

/* Waits until no background work is due. */
storagelab_status storagelab_settle(storagelab_db *db, storagelab_error **error);

/* Reads and checks everything on disk. STORAGELAB_OK: sound; STORAGELAB_CORRUPTION: the error is the
 * first problem. */
storagelab_status storagelab_verify(storagelab_db *db, storagelab_error **error);

/* Writes a copy as of now to the new directory `path`, while readers and writers go on. */
storagelab_status storagelab_backup(
    storagelab_db *db, const char *path, storagelab_error **error);

/* One property as text, free with storagelab_free. Names: those that storagelab_properties lists.
 * STORAGELAB_NOT_FOUND for others. */
storagelab_status storagelab_property(
    storagelab_db *db, const char *name, char **value, storagelab_error **error);

/* Every property, one "name value" a line, free with storagelab_free: engine, durability, entries (where
 * the engine knows), disk-bytes, log-bytes, cache-bytes, cache-budget, other-memory-bytes,
 * cache-hits, cache-misses, open-snapshots, user-bytes-written, bytes-read, bytes-written, syncs,
 * then the engine's own. Counts begin when the database is opened. */
storagelab_status storagelab_properties(
    storagelab_db *db, char **properties, storagelab_error **error);

/* ---- Batches ---------------------------------------------------------------------------------- */

/* An empty batch; NULL when there are too many handles. Limits on keys and values are checked when it
 * is written. */
storagelab_batch *storagelab_batch_create(void);

storagelab_status storagelab_batch_put(
    storagelab_batch *batch, const void *key, size_t key_length, const void *value,
    size_t value_length, storagelab_error **error);

storagelab_status storagelab_batch_delete(
    storagelab_batch *batch, const void *key, size_t key_length, storagelab_error **error);

storagelab_status storagelab_batch_delete_range(
    storagelab_batch *batch, const void *lower, size_t lower_length, const void *upper,
    size_t upper_length, storagelab_error **error);

storagelab_status storagelab_batch_merge(
    storagelab_batch *batch, const void *key, size_t key_length, const void *operand,
    size_t operand_length, storagelab_error **error);

/* Empties the batch and keeps its memory. */
storagelab_status storagelab_batch_clear(storagelab_batch *batch, storagelab_error **error);

/* Operations in the batch; 0 for a bad handle. */
size_t storagelab_batch_count(const storagelab_batch *batch);

/* NULL does nothing, nor does destroying twice. */
void storagelab_batch_destroy(storagelab_batch *batch);

/* ---- Snapshots -------------------------------------------------------------------------------- */

/* One moment of a database. What it sees cannot be reclaimed: release it. */
storagelab_status storagelab_snapshot_create(
    storagelab_db *db, storagelab_snapshot **snapshot, storagelab_error **error);

/* As storagelab_get and storagelab_get_into, at the snapshot. */
storagelab_status storagelab_snapshot_get(
    storagelab_snapshot *snapshot, const void *key, size_t key_length, void **value,
    size_t *value_length, storagelab_error **error);

storagelab_status storagelab_snapshot_get_into(
    storagelab_snapshot *snapshot, const void *key, size_t key_length, void *buffer,
    size_t capacity, size_t *value_length, storagelab_error **error);

/* NULL does nothing, nor does releasing twice. Iterators made of it go on. */
void storagelab_snapshot_release(storagelab_snapshot *snapshot);

/* ---- Iterators -------------------------------------------------------------------------------- */

/* An iterator over the keys from `lower`, included, to `upper`, excluded, as of now; NULL for no bound.
 * It stands nowhere before the first seek. */
storagelab_status storagelab_iterator_create(
    storagelab_db *db, const void *lower, size_t lower_length, const void *upper,
    size_t upper_length, storagelab_iterator **iterator, storagelab_error **error);

/* The same, as of the snapshot. */
storagelab_status storagelab_snapshot_iterator_create(
    storagelab_snapshot *snapshot, const void *lower, size_t lower_length, const void *upper,
    size_t upper_length, storagelab_iterator **iterator, storagelab_error **error);

/* To the first, the last, the first entry at or after `key`, the last at or before it. */
storagelab_status storagelab_iterator_seek_to_first(
    storagelab_iterator *iterator, storagelab_error **error);
storagelab_status storagelab_iterator_seek_to_last(
    storagelab_iterator *iterator, storagelab_error **error);
storagelab_status storagelab_iterator_seek(
    storagelab_iterator *iterator, const void *key, size_t key_length, storagelab_error **error);
storagelab_status storagelab_iterator_seek_for_previous(
    storagelab_iterator *iterator, const void *key, size_t key_length, storagelab_error **error);

/* One entry on or back. Past either end the iterator is invalid, and only a seek leads back;
 * STORAGELAB_INVALID_ARGUMENT when it is invalid already. */
storagelab_status storagelab_iterator_next(
    storagelab_iterator *iterator, storagelab_error **error);
storagelab_status storagelab_iterator_previous(
    storagelab_iterator *iterator, storagelab_error **error);

/* Whether it stands on an entry; false for a bad handle. */
bool storagelab_iterator_is_valid(const storagelab_iterator *iterator);

/* The entry's key and value, until the iterator moves or is destroyed or its database is closed. NULL and length 0
 * when it stands on no entry or the handle is bad. `length` may not be NULL. */
const void *storagelab_iterator_key(const storagelab_iterator *iterator, size_t *length);
const void *storagelab_iterator_value(const storagelab_iterator *iterator, size_t *length);

/* NULL does nothing, nor does destroying twice. */
void storagelab_iterator_destroy(storagelab_iterator *iterator);

#ifdef __cplusplus
}
#endif

#endif
