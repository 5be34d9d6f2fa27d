/// A directory of the memory file system: its entries now, those on the medium, and the
/// changes between them that no directory sync has covered.
///
/// A crash keeps any subset of the pending changes, each on its own: harsher than the
/// prefix that a journal would keep, and what POSIX permits. A rename inside a directory is
/// one change (atomic); one across directories is two.
final class MemoryDirectory {
  enum Entry {
    case file(MemoryFileNode)
    case directory(MemoryDirectory)
  }

  /// Entries set (or, by nil, removed) together.
  private typealias Change = [(name: String, entry: Entry?)]

  private(set) var entries: [String: Entry] = [:]
  private var synced: [String: Entry] = [:]
  private var pending: [Change] = []

  init() {}

  func set(_ name: String, _ entry: Entry?) { apply([(name, entry)]) }

  func rename(_ from: String, to: String) {
    guard from != to, let entry = entries[from] else { return }
    apply([(from, nil), (to, entry)])
  }

  private func apply(_ change: Change) {
    for (name, entry) in change { entries[name] = entry }
    pending.append(change)
  }

  func sync() {
    synced = entries
    pending = []
  }

  /// The directory, and all below it, as a crash leaves it. `nodes` keeps files with several
  /// names one file.
  func afterCrash(
    _ mode: CrashMode, _ random: inout SeededRandom,
    _ nodes: inout [ObjectIdentifier: MemoryFileNode]
  ) -> MemoryDirectory {
    var kept = synced
    switch mode {
    case .loseEverythingUnsynced: break
    case .keepEverything: kept = entries
    case .keepSome:
      let probability = [0, 0.5, 0.5, 1][random.below(4)]
      for change in pending where random.chance(probability) {
        for (name, entry) in change { kept[name] = entry }
      }
    }
    let result = MemoryDirectory()
    for (name, entry) in kept.sorted(by: { $0.key < $1.key }) {
      switch entry {
      case .directory(let directory):
        result.entries[name] = .directory(directory.afterCrash(mode, &random, &nodes))
      case .file(let node):
        let copy =
          nodes[ObjectIdentifier(node)]
          ?? MemoryFileNode(node.content.afterCrash(mode, &random))
        nodes[ObjectIdentifier(node)] = copy
        copy.names += 1
        result.entries[name] = .file(copy)
      }
    }
    result.synced = result.entries
    return result
  }

  /// Bytes of blocks that the files below hold.
  var allocatedBytes: Int64 {
    entries.values.reduce(0) { sum, entry in
      switch entry {
      case .file(let node): sum + node.content.allocatedBytes
      case .directory(let directory): sum + directory.allocatedBytes
      }
    }
  }
}

/// A file, whatever its names.
final class MemoryFileNode {
  let content: MemoryFileContent
  /// Names that lead here; at zero its blocks are free again.
  var names = 0
  var isLocked = false

  init(_ content: MemoryFileContent = MemoryFileContent()) { self.content = content }
}
