import StorageLab

/// Keeps what cells printed, so that words can be edited and set anew without measuring again. A
/// result is used only for the very same commands.
struct ResultStore {
  let directory: String

  func load(_ cell: NotebookCell, _ number: Int) -> [UInt8]? {
    guard let file = try? POSIXFileSystem().open(path(cell, number), .read) else { return nil }
    defer { file.close() }
    return try? file.readAll(limit: 1 << 28)
  }

  func save(_ cell: NotebookCell, _ number: Int, _ output: [UInt8]) throws(StorageError) {
    try POSIXFileSystem().createDirectory(directory)
    try WholeFile.write(output, to: path(cell, number))
  }

  private func path(_ cell: NotebookCell, _ number: Int) -> String {
    // Commands before a cell prepare what it finds: all of a cell's are its name.
    var digest = SHA256()
    for command in cell.commands {
      digest.update(Array(command.words.joined(separator: "\u{0}").utf8))
      digest.update([0x0a])
    }
    let name = cell.name ?? "cell\(number + 1)"
    return joinPath(directory, "\(name)-\(digest.hexadecimal.prefix(12)).out")
  }
}
