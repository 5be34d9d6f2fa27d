/* A tour of the C API: what docs/guide/c-api.md tells, as a program.
 *
 *   cc tour.c $(pkg-config --cflags --libs storagelab) -o tour && ./tour /tmp/tour-db [engine]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storagelab.h"

/* Ends the program when a call failed: what went wrong, where, what to do. Takes the error's address,
 * since C may look at an argument before it makes the call in another. */
static void check(storagelab_status status, storagelab_error **error) {
  if (status == STORAGELAB_OK) return;
  fprintf(stderr, "%s: %s\n", storagelab_status_name(status), storagelab_error_description(*error));
  exit(1);
}

static void put(storagelab_db *db, const char *key, const char *value) {
  storagelab_error *error = NULL;
  check(storagelab_put(db, key, strlen(key), value, strlen(value), &error), &error);
}

/* Prints what an iterator over `lower ..< upper` sees, in either direction. */
static void scan(storagelab_db *db, const char *lower, const char *upper, bool backward) {
  storagelab_error *error = NULL;
  storagelab_iterator *it = NULL;
  check(
      storagelab_iterator_create(
          db, lower, lower ? strlen(lower) : 0, upper, upper ? strlen(upper) : 0, &it, &error),
      &error);
  check(
      backward ? storagelab_iterator_seek_to_last(it, &error)
               : storagelab_iterator_seek_to_first(it, &error),
      &error);
  while (storagelab_iterator_is_valid(it)) {
    size_t key_length, value_length;
    const char *key = storagelab_iterator_key(it, &key_length);
    const char *value = storagelab_iterator_value(it, &value_length);
    printf("  %.*s = %.*s\n", (int)key_length, key, (int)value_length, value);
    check(
        backward ? storagelab_iterator_previous(it, &error)
                 : storagelab_iterator_next(it, &error),
        &error);
  }
  storagelab_iterator_destroy(it);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s DIRECTORY [ENGINE]\n", argv[0]);
    return 2;
  }
  printf("storagelab %s: %s\n", storagelab_version(), storagelab_engines());

  storagelab_error *error = NULL;
  storagelab_options *options = storagelab_options_create();
  const char *engine = argc > 2 ? argv[2] : "btree";
  check(storagelab_options_set_engine(options, engine, &error), &error);
  check(storagelab_options_set_durability(options, "commit", &error), &error);
  check(storagelab_options_set_cache_bytes(options, 16 << 20, &error), &error);

  storagelab_db *db = NULL;
  check(storagelab_open(argv[1], options, &db, &error), &error);
  storagelab_options_destroy(options);

  put(db, "plane/1", "Concorde");
  put(db, "plane/2", "Comet");
  put(db, "train/1", "Mallard");

  /* A value into memory of our own, and one into memory of the library's making. */
  char buffer[4];
  size_t length = 0;
  storagelab_status status =
      storagelab_get_into(db, "plane/1", 7, buffer, sizeof buffer, &length, &error);
  printf(
      "%s: %zu bytes, of which the buffer holds %.4s\n", storagelab_status_name(status), length,
      buffer);
  void *value = NULL;
  check(storagelab_get(db, "plane/2", 7, &value, &length, &error), &error);
  printf("plane/2 is %.*s\n", (int)length, (char *)value);
  storagelab_free(value);

  /* A snapshot stays where it is while a batch changes several keys at once. */
  storagelab_snapshot *before = NULL;
  check(storagelab_snapshot_create(db, &before, &error), &error);
  storagelab_batch *batch = storagelab_batch_create();
  check(storagelab_batch_put(batch, "plane/3", 7, "Caravelle", 9, &error), &error);
  check(storagelab_batch_delete(batch, "plane/1", 7, &error), &error);
  check(storagelab_write(db, batch, &error), &error);
  storagelab_batch_destroy(batch);

  printf("planes, forward:\n");
  scan(db, "plane/", "plane0", false);
  printf("everything, backward:\n");
  scan(db, NULL, NULL, true);
  printf(
      "plane/1 now: %s\n",
      storagelab_status_name(storagelab_get(db, "plane/1", 7, &value, &length, &error)));
  check(storagelab_snapshot_get(before, "plane/1", 7, &value, &length, &error), &error);
  printf("plane/1 in the snapshot: %.*s\n", (int)length, (char *)value);
  storagelab_free(value);
  storagelab_snapshot_release(before);

  /* What is wrong is told, and harms nothing. */
  status = storagelab_put(db, "", 0, "x", 1, &error);
  printf("%s: %s\n", storagelab_status_name(status), storagelab_error_description(error));
  storagelab_error_free(error);
  error = NULL;

  check(storagelab_checkpoint(db, &error), &error);
  check(storagelab_verify(db, &error), &error);
  char *text = NULL;
  check(storagelab_property(db, "engine", &text, &error), &error);
  printf("a sound database of engine %s\n", text);
  storagelab_free(text);
  check(storagelab_close(db, &error), &error);

  status = storagelab_close(db, &error);
  printf("%s: %s\n", storagelab_status_name(status), storagelab_error_message(error));
  storagelab_error_free(error);
  return 0;
}
