#include <sqlite3.h>

/// Variadic calls, which Swift does not import.

/// Keeps the connection's close from copying the log back and removing it.
static inline int lab_sqlite3_no_checkpoint_on_close(sqlite3 *connection) {
  return sqlite3_db_config(connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}
