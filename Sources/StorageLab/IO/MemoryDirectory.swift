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

  /// What a crash made of each file and directory so far: whatever has several names, or
  /// a name in several views, stays one.
  struct Survivors {
    let mode: CrashMode
    var random: SeededRandom
    var files: [ObjectIdentifier: MemoryFileNode] = [:]
    var directories: [ObjectIdentifier: MemoryDirectory] = [:]

    mutating func survivor(_ entry: Entry) -> Entry {
      switch entry {
      case .directory(let directory): return .directory(directory.afterCrash(&self))
      case .file(let node):
        if let copy = files[ObjectIdentifier(node)] { return .file(copy) }
        let copy = MemoryFileNode(id: node.id, content(of: node))
        files[ObjectIdentifier(node)] = copy
        return .file(copy)
      }
    }

    private mutating func content(of node: MemoryFileNode) -> MemoryFileContent {
      if case .keepParts(let weaknesses, let seed) = mode {
        return node.content.afterCrash(
          weaknesses, SeededRandom(seed: Hash64.hash(seed) &+ node.id))
      }
      return node.content.afterCrash(mode, &random)
    }

    mutating func survivors(_ entries: [String: Entry]) -> [String: Entry] {
      var result: [String: Entry] = [:]
      for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
        result[name] = survivor(entry)
      }
      return result
    }
  }

  /// The directory, and all below it, as a crash leaves it.
  func afterCrash(_ survivors: inout Survivors) -> MemoryDirectory {
    if let copy = survivors.directories[ObjectIdentifier(self)] { return copy }
    let result = MemoryDirectory()
    survivors.directories[ObjectIdentifier(self)] = result
    var kept = synced
    switch survivors.mode {
    case .loseEverythingUnsynced: break
    case .keepEverything:
      kept = entries
      result.synced = survivors.survivors(synced)
      result.pending = pending.map { change in
        change.map { ($0.name, $0.entry.map { survivors.survivor($0) }) }
      }
    case .keepSome:
      let probability = [0, 0.5, 0.5, 1][survivors.random.below(4)]
      for change in pending where survivors.random.chance(probability) {
        for (name, entry) in change { kept[name] = entry }
      }
    case .keepParts(let weaknesses, _):
      guard weaknesses.contains(.names) else { break }
      let probability = [0, 0.5, 0.8, 1][survivors.random.below(4)]
      for change in pending where survivors.random.chance(probability) {
        for (name, entry) in change { kept[name] = entry }
      }
    }
    result.entries = survivors.survivors(kept)
    for case .file(let node) in result.entries.values { node.names += 1 }
    if survivors.mode != .keepEverything { result.synced = result.entries }
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

extension MemoryDirectory {
  var fingerprint: UInt64 {
    var sum = Hash64.hash(UInt64(pending.count))
    for (name, entry) in entries {
      let key = Array(name.utf8).withSlice { Hash64.hash($0) }
      switch entry {
      case .file(let node): sum &+= Hash64.hash(key ^ node.content.fingerprint)
      case .directory(let directory): sum &+= Hash64.hash(key &+ directory.fingerprint)
      }
    }
    return sum
  }
}

/// A file, whatever its names.
final class MemoryFileNode {
  /// Tells files of one world apart, and stays the same in the worlds that crashes leave.
  let id: UInt64
  let content: MemoryFileContent
  /// Names that lead here; at zero its blocks are free again.
  var names = 0
  var isLocked = false

  init(id: UInt64, _ content: MemoryFileContent) {
    self.id = id
    self.content = content
  }
}
