import StorageLab

/// What is wrong in a notebook, and where.
struct NotebookError: Error, Equatable {
  /// Counted from 1; columns count characters.
  let line: Int
  let column: Int
  let message: String

  func asStorageError(path: String) -> StorageError {
    StorageError(
      .invalidArgument, "line \(line), column \(column): \(message)",
      remedy: "docs/guide/notebooks.md describes the form", path: path)
  }
}

/// A place in a notebook's text.
struct Place: Equatable {
  var line: Int
  var column: Int

  func error(_ message: String) -> NotebookError {
    NotebookError(line: line, column: column, message: message)
  }

  func moved(_ columns: Int) -> Place { Place(line: line, column: column + columns) }
}
