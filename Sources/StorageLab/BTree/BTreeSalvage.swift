/// Walks the tree of a damaged database and finds what is provably intact: pages that check and
/// lie where their parents say; below a damaged branch those leaves that the file still holds and
/// that the free list does not know as free. Never writes to the database.
///
/// The walk serves both `examine`, which only wants to know what is wrong, and `salvage`.
struct BTreeSalvage {
  /// Every entry found, in no order across damage.
  typealias Visit = ([UInt8], [UInt8]) throws(StorageError) -> Void

  let options: EngineOptions
  let path: String
  private(set) var corrected: [DatabaseDamage] = []
  private(set) var lost: [DatabaseDamage] = []
  private(set) var notes: [String] = []
  private(set) var entries: UInt64 = 0
  private(set) var bytesRead: Int64 = 0
  private(set) var superblock: BTreeSuperblock?

  /// Pages met in the tree, and those of the free list.
  private var seen = BTreeFreeMap()
  private var free = BTreeFreeMap()
  private var isFreeListWhole = true
  /// No page of the tree was lost, nor a chain: its accounts can be checked.
  private var isTreeWhole = true
  private var census: UInt64 = 0
  /// Where branches were lost: their leaves may still be found.
  private var orphaned: [DamagedKeys] = []

  init(_ options: EngineOptions) {
    self.options = options
    path = joinPath(options.path, BTreeEngine.pagesName)
  }

  /// Errors: `io`, and what `visit` throws.
  mutating func run(_ visit: Visit) throws(StorageError) {
    guard try options.fileSystem.exists(path) else {
      return lose(
        path, 0, "file of pages", "the file of pages is missing",
        "all entries but those in the log",
        .all)
    }
    let file = try options.fileSystem.open(path, .read)
    guard let superblock = try findSuperblock(file) else {
      file.close()
      return
    }
    self.superblock = superblock
    let pages = try BTreePageFile(file, pageSize: Int(superblock.pageSize))
    guard superblock.pageCount <= 64 * UInt64(pages.pageCount) + 1 << 26 else {
      return lose(
        path, Int64(superblock.slot) * Int64(superblock.pageSize), "superblock",
        "the superblock claims \(superblock.pageCount) pages, the file has \(pages.pageCount)",
        "all entries but those in the log", .all)
    }
    try readFreeList(pages, superblock)
    let all = DamagedKeys.all
    try walk(pages, superblock.root, level: Int(superblock.height) - 1, all, visit)
    if !orphaned.isEmpty { try findOrphans(pages, superblock, visit) }
    checkAccounts(pages, superblock)
    bytesRead = pages.bytesRead + Int64(2 * BTreeSuperblock.encodedBytes)
  }

  // MARK: Superblocks

  private mutating func findSuperblock(_ file: any File) throws(StorageError) -> BTreeSuperblock? {
    let found = try BTreePageFile.superblocks(file)
    for slot in found.corrected {
      correct(
        path, slot == 0 ? 0 : slotOffset(found.copies), "superblock", "superblock \(slot)")
    }
    guard let newest = found.copies.newest else {
      lose(
        path, 0, "superblock", "neither superblock is intact",
        "all entries but those in the log: nothing says which pages are the newest", .all)
      return nil
    }
    let other = 1 - newest.slot
    guard found.copies.isDamaged(other) else { return newest }
    let isOld = newest.version == 1
    lose(
      path, Int64(other) * Int64(newest.pageSize), "superblock", "superblock \(other) is damaged",
      isOld
        ? "all entries since the last checkpoint but one, if the damaged superblock was the newer"
        : "nothing: the other one says the same, or the log what it lacks", isOld ? .all : nil)
    return newest
  }

  private func slotOffset(_ copies: BTreeSuperblock.Copies) -> Int64 {
    (try? copies.slots[1].get()).map { Int64($0.pageSize) } ?? 4096
  }

  // MARK: Free list

  private mutating func readFreeList(
    _ pages: BTreePageFile, _ superblock: BTreeSuperblock
  ) throws(StorageError) {
    var id = superblock.freeListHead
    for _ in 0..<superblock.freeListPages {
      guard let copy = try open(pages, id, "free list", "which pages are free", nil),
        copy.page.kindByte == BTreePage.Kind.freeList.rawValue,
        !seen.contains(Int(id)),
        free.decode(
          ByteSlice(base: copy.page.payload, count: copy.page.payloadLength),
          first: Int(BTreePage.firstPage), limit: Int(superblock.pageCount))
      else {
        isFreeListWhole = false
        if lost.last?.offset != pages.offset(id) {
          lose(
            path, pages.offset(id), "free list", "page \(id) should be part of the free list",
            "which pages are free", nil)
        }
        return
      }
      seen.insert(Int(id))
      id = copy.page.link
      withExtendedLifetime(copy) {}
    }
    if free.count != Int(superblock.freePages) {
      isFreeListWhole = false
      lose(
        path, pages.offset(superblock.freeListHead), "free list",
        "the free list has \(free.count) pages, not \(superblock.freePages)",
        "which pages are free", nil)
    }
  }

  // MARK: The tree

  /// Reads a page and notes what is wrong with it.
  private mutating func open(
    _ pages: BTreePageFile, _ id: UInt32, _ part: String, _ affected: String, _ keys: DamagedKeys?
  ) throws(StorageError) -> BTreePageFile.Copy? {
    switch try pages.read(id) {
    case .success(let copy):
      if copy.correctedByte != nil {
        correct(path, pages.offset(id), part, affected, pages.pageSize)
      }
      return copy
    case .failure(let flaw):
      lose(path, pages.offset(id), part, flaw.message, affected, keys, pages.pageSize)
      return nil
    }
  }

  private mutating func walk(
    _ pages: BTreePageFile, _ id: UInt32, level: Int, _ keys: DamagedKeys, _ visit: Visit
  ) throws(StorageError) {
    let what = level == 0 ? "page \(id), a leaf" : "page \(id), a branch of height \(level)"
    let isRepeated = seen.contains(Int(id)) || free.contains(Int(id))
    let copy = isRepeated ? nil : try open(pages, id, "page", "\(what), \(keys)", keys)
    guard let page = copy?.page, page.level == level, page.isLeaf || page.isBranch else {
      if copy != nil || isRepeated {
        lose(
          path, pages.offset(id), "page",
          "page \(id) is not the \(level == 0 ? "leaf" : "branch") "
            + "that its parent names", "\(what), \(keys)", keys, pages.pageSize)
      }
      if level > 0 { orphaned.append(keys) }
      return
    }
    seen.insert(Int(id))
    census &+= BTreeSpace.mark(id, page.epoch)
    if page.isLeaf {
      try withExtendedLifetime(copy) { () throws(StorageError) in
        try readLeaf(pages, id, page, keys, visit)
      }
      return
    }
    var separators: [[UInt8]?] = []
    for index in 0..<page.count {
      let cell = BTreeCell(page, index)
      separators.append(try separator(pages, cell))
    }
    for index in 0...page.count {
      // A separator whose chain is lost bounds nothing.
      let lower = index == 0 ? keys.lower : separators[index - 1] ?? keys.lower
      let upper = index == page.count ? keys.upper : separators[index] ?? keys.upper
      try walk(
        pages, page.child(index), level: level - 1, DamagedKeys(from: lower, to: upper), visit)
    }
    withExtendedLifetime(copy) {}
  }

  private mutating func readLeaf(
    _ pages: BTreePageFile, _ id: UInt32, _ page: BTreePage, _ keys: DamagedKeys, _ visit: Visit
  ) throws(StorageError) {
    for index in 0..<page.count {
      let cell = BTreeCell(page, index)
      var key = cell.key
      var value = cell.payload.array
      if cell.flags & BTreePage.chainFlag != 0 {
        let reference = ChainReference(cell.payload)
        let chain = try BTreeChainReader(pages, reference).read(beside: seen)
        guard let chain else {
          loseChain(pages, reference, key, continues: cell.keyContinues)
          continue
        }
        for page in chain.pages { seen.insert(Int(page)) }
        census &+= chain.census
        for page in chain.corrected {
          correct(
            path, pages.offset(page), "overflow page", "the value of \(printable(key))",
            pages.pageSize)
        }
        key += chain.bytes.prefix(Int(reference.keyBytes))
        value = Array(chain.bytes.dropFirst(Int(reference.keyBytes)))
      }
      guard keys.contains(key) else {
        lose(
          path, pages.offset(id), "page", "page \(id): a key lies outside its parent's bounds",
          "key \(printable(key))", DamagedKeys(from: key, to: key), pages.pageSize)
        continue
      }
      try visit(key, value)
      entries += 1
    }
  }

  private mutating func loseChain(
    _ pages: BTreePageFile, _ reference: ChainReference, _ key: [UInt8], continues: Bool
  ) {
    let upper = continues ? KeyRange.successor(ofPrefix: key) : key
    lose(
      path, pages.offset(reference.first), "overflow page",
      "an overflow chain that begins at page \(reference.first) is damaged",
      continues
        ? "the entry whose key begins with \(printable(key))" : "the value of \(printable(key))",
      DamagedKeys(from: key, to: upper))
  }

  /// A separator, with what of it lies in a chain; nil when that is lost.
  private mutating func separator(
    _ pages: BTreePageFile, _ cell: BTreeCell
  ) throws(StorageError) -> [UInt8]? {
    guard cell.keyContinues else { return cell.key }
    let reference = ChainReference(cell.payload)
    guard let chain = try BTreeChainReader(pages, reference).read(beside: seen) else {
      lose(
        path, pages.offset(reference.first), "overflow page",
        "an overflow chain that begins at page \(reference.first) is damaged",
        "lookups beside the separator \(printable(cell.key))", nil)
      return nil
    }
    for page in chain.pages { seen.insert(Int(page)) }
    for page in chain.corrected {
      correct(
        path, pages.offset(page), "overflow page", "the separator \(printable(cell.key))",
        pages.pageSize)
    }
    census &+= chain.census
    return cell.key + chain.bytes.prefix(Int(reference.keyBytes))
  }

  // MARK: Below damaged branches

  /// Every page belongs to the tree, is free, or is part of the free list. So a leaf that nothing
  /// leads to and that is not free is one of those that a damaged branch led to.
  private mutating func findOrphans(
    _ pages: BTreePageFile, _ superblock: BTreeSuperblock, _ visit: Visit
  ) throws(StorageError) {
    guard isFreeListWhole else {
      notes.append(
        "the free list is damaged too: leaves below damaged branches cannot be told from old ones")
      return
    }
    var leaves: UInt64 = 0
    for id in Int(BTreePage.firstPage)..<min(pages.pageCount, Int(superblock.pageCount)) {
      if seen.contains(id) || free.contains(id) { continue }
      let copy: BTreePageFile.Copy
      switch try pages.read(UInt32(id)) {
      case .success(let intact): copy = intact
      case .failure(let flaw):
        lose(
          path, pages.offset(UInt32(id)), "page", flaw.message,
          "page \(id), which a damaged branch or chain led to", nil, pages.pageSize)
        continue
      }
      let page = copy.page
      guard page.isLeaf, page.epoch <= superblock.epoch, page.count > 0 else {
        withExtendedLifetime(copy) {}
        continue
      }
      let first = BTreeCell(page, 0).key
      guard let keys = orphaned.first(where: { $0.contains(first) }) else { continue }
      seen.insert(id)
      leaves += 1
      try withExtendedLifetime(copy) { () throws(StorageError) in
        try readLeaf(pages, UInt32(id), page, keys, visit)
      }
    }
    notes.append("\(leaves) leaves below damaged branches were found by reading the whole file")
    if entries == superblock.entries {
      notes.append("the entries found are as many as the superblock counts: none is lost")
    }
  }

  /// Without damage every page has its place; with it what has none was told of already.
  private mutating func checkAccounts(_ pages: BTreePageFile, _ superblock: BTreeSuperblock) {
    guard isTreeWhole else { return }
    let before = lost.count
    if entries != superblock.entries {
      lose(
        path, pages.offset(superblock.root), "page",
        "the superblock counts \(superblock.entries) entries, the tree holds \(entries)",
        "an older page lies in the place of a newer one, or entries are missing", .all)
    }
    if let expected = superblock.census, expected != census, lost.count == before {
      lose(
        path, pages.offset(superblock.root), "page",
        "a page of another time lies in the place of one of the tree's pages",
        "keys of that page, which nothing names", .all)
    }
    guard isFreeListWhole else { return }
    let first = Int(BTreePage.firstPage)
    let missing = (first..<max(first, Int(superblock.pageCount))).first {
      !seen.contains($0) && !free.contains($0)
    }
    if let missing {
      lose(
        path, pages.offset(UInt32(missing)), "page", "page \(missing) is neither used nor free",
        "an older page lies in the place of a newer one, or the page leaks", .all)
    }
  }

  // MARK: Reports

  private mutating func lose(
    _ path: String, _ offset: Int64, _ part: String, _ message: String, _ affected: String,
    _ keys: DamagedKeys?, _ bytes: Int? = nil
  ) {
    if part == "page" || part == "overflow page" { isTreeWhole = false }
    lost.append(
      DatabaseDamage(
        path: path, offset: offset, bytes: bytes.map { Int64($0) }, part: part, message: message,
        affected: affected, keys: keys))
  }

  private mutating func correct(
    _ path: String, _ offset: Int64, _ part: String, _ affected: String, _ bytes: Int? = nil
  ) {
    corrected.append(
      DatabaseDamage(
        path: path, offset: offset, bytes: bytes.map { Int64($0) }, part: part,
        message: "one bit is flipped", affected: affected, isOneBit: true))
  }
}

/// The bytes of one overflow chain.
struct BTreeChainReader {
  struct Chain {
    var bytes: [UInt8] = []
    var pages: [UInt32] = []
    var corrected: [UInt32] = []
    var census: UInt64 = 0
  }

  private let file: BTreePageFile
  private let reference: ChainReference

  init(_ file: BTreePageFile, _ reference: ChainReference) {
    self.file = file
    self.reference = reference
  }

  /// Nil when a page of the chain is damaged, is no part of one, or was met `beside` it: so however
  /// chains lead into each other, all of them together read each page once. Errors: `io`.
  func read(beside seen: BTreeFreeMap) throws(StorageError) -> Chain? {
    var chain = Chain()
    var id = reference.first
    while chain.bytes.count < Int(reference.length) {
      guard chain.pages.count < file.pageCount, !seen.contains(Int(id)),
        case .success(let copy) = try file.read(id)
      else { return nil }
      defer { withExtendedLifetime(copy) {} }
      let page = copy.page
      guard page.kindByte == BTreePage.Kind.overflow.rawValue, page.payloadLength > 0,
        page.payloadLength <= Int(reference.length) - chain.bytes.count
      else { return nil }
      chain.bytes += ByteSlice(base: page.payload, count: page.payloadLength).rawBuffer
      chain.pages.append(id)
      if copy.correctedByte != nil { chain.corrected.append(id) }
      chain.census &+= BTreeSpace.mark(id, page.epoch)
      id = page.link
    }
    return chain
  }
}

extension BTreeEngine {
  /// `labctl verify --deep` and `labctl repair` for B-trees.
  static let tools = DatabaseTools(
    fileMarks: [".pages"],
    examine: { (options) throws(StorageError) in
      var salvage = BTreeSalvage(options)
      try salvage.run { _, _ in }
      var examination = DatabaseExamination()
      let log = try LogSalvage.read(
        options.path, options.fileSystem, from: salvage.superblock?.lsn
      ) { _, _ in }
      examination.damages = salvage.corrected + salvage.lost + log.corrected + log.lost
      examination.entries = salvage.entries + log.records
      examination.bytesRead = salvage.bytesRead + log.bytesRead
      examination.filesRead = 1 + log.filesRead
      return examination
    },
    salvage: { (options, target) throws(StorageError) in
      var salvage = BTreeSalvage(options)
      try salvage.run { (key, value) throws(StorageError) in try target.put(key, value) }
      try target.flush()
      var report = SalvageReport()
      let log = try LogSalvage.read(
        options.path, options.fileSystem, from: salvage.superblock?.lsn
      ) { (_, payload) throws(StorageError) in
        var decoder = WriteBatch.Decoder(payload)
        while let operation = try decoder.next() { try target.apply(operation) }
      }
      report.entries = salvage.entries
      report.logRecords = log.records
      report.corrected = salvage.corrected + log.corrected
      report.lost = salvage.lost + log.lost + log.unproven
      report.notes = salvage.notes + [log.endNote].compactMap(\.self)
      return report
    })
}
