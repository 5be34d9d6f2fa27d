/// What a B-tree's file of pages holds, as of its last checkpoint: height, pages and fill of each
/// level, the free list, and, when the tree is small, the tree itself. `describe()` says it for
/// people; encoded it is for programs.
///
/// Taken without a lock and without a write. While an engine works on the file, pages of the
/// checkpoint may be used again after the next one: what is seen then is a problem of the
/// moment and not damage; close the database, or look at a backup.
public struct BTreeAnatomy: Sendable, Codable, Equatable {
  public struct Level: Sendable, Codable, Equatable {
    /// 0 for leaves.
    public var level: Int
    public var pages = 0
    /// Entries of leaves, separators of branches.
    public var cells = 0
    public var usedBytes = 0
    /// Bytes for slots, cells and prefix.
    public var roomBytes = 0
    /// Pages by tenth of fill: `[0]` counts those under 10 % full, `[9]` those from 90 % on.
    public var pagesByTenth = [Int](repeating: 0, count: 10)
    /// When its pages were made.
    public var oldestEpoch = UInt64.max
    public var newestEpoch: UInt64 = 0
  }

  public struct FreeList: Sendable, Codable, Equatable {
    public var pages = 0
    /// Maximal runs of free pages that lie side by side.
    public var runs = 0
    public var longestRun = 0
    /// The list's own pages, in order, and the epoch in which they were written.
    public var listPages: [UInt32] = []
    public var epoch: UInt64?
    /// Free pages whose room was given back to the file system.
    public var pagesWithoutRoom = 0
  }

  /// A page of the drawn tree.
  public struct Node: Sendable, Codable, Equatable {
    public var page: UInt32
    public var level: Int
    public var cells: Int
    public var percentFull: Int
    public var epoch: UInt64
    /// First and last key of a leaf, shortened; nil when it is empty.
    public var firstKey: String?
    public var lastKey: String?
    /// Of a branch: child *i* + 1 holds the keys from separator *i* on.
    public var separators: [String] = []
    public var children: [Node] = []
  }

  public var path: String
  public var fileBytes: Int64
  /// Bytes of the file that take room on the medium.
  public var mediumBytes: Int64
  public var pageSize: Int
  /// Pages that mean something, the two superblocks included.
  public var pageCount: Int
  public var checkpoint: UInt64
  public var epoch: UInt64
  /// Log records before this position are contained.
  public var logPosition: UInt64
  public var entries: UInt64
  public var height: Int
  /// From the root down.
  public var levels: [Level] = []
  public var overflowPages = 0
  public var freeList = FreeList()
  /// Nil when the tree has more pages than were to be drawn.
  public var tree: Node?
  public var problems: [Problem] = []

  public struct Problem: Sendable, Codable, Equatable {
    public var offset: Int64
    public var message: String
  }

  public var hasProblems: Bool { !problems.isEmpty }

  /// Reads the file of pages at `path`; draws trees of at most `limit` pages.
  ///
  /// Complexity: O(pages). Errors: `notFound`, `io`; `corruption` and `unsupportedVersion` when
  /// no superblock can be used. Whatever else is wrong is among the problems.
  public init(
    of path: String, _ fileSystem: any FileSystem, limit: Int = 64
  ) throws(StorageError) {
    let pages = try PageFile(path, fileSystem)
    let block = pages.superblock
    self.path = path
    fileBytes = pages.size
    mediumBytes = 0
    pageSize = Int(block.pageSize)
    pageCount = Int(block.pageCount)
    checkpoint = block.sequence
    epoch = block.epoch
    logPosition = block.lsn
    entries = block.entries
    height = Int(block.height)
    var walk = BTreeWalk(pages, limit: limit)
    let root = try walk.visit(block.root, level: height - 1)
    levels = walk.levels.reversed()
    overflowPages = walk.overflowPages
    tree = walk.nodes <= limit ? root : nil
    problems = walk.problems
    let free = readFreeList(pages)
    try measureRoom(pages, free)
    if problems.isEmpty { account(free, reached: walk.nodes + overflowPages) }
  }

  private mutating func readFreeList(_ pages: PageFile) -> BTreeFreeMap {
    var map = BTreeFreeMap()
    let limit = pageCount
    do throws(StorageError) {
      try BTreeFreeList.read(pages.file, pages.superblock) { (id, chunk) throws(StorageError) in
        freeList.listPages.append(id)
        if freeList.listPages.count > limit {
          throw .corruption(
            "the free list goes round in circles", path: path, offset: pages.offset(id))
        }
        if !map.decode(chunk, first: Int(BTreePage.firstPage), limit: limit) {
          throw .corruption(
            "the free list names impossible pages", path: path, offset: pages.offset(id))
        }
      }
      if let first = freeList.listPages.first {
        let (page, problem) = try pages.load(first)
        defer { pages.release() }
        if problem == nil { freeList.epoch = page.epoch }
      }
    } catch {
      problems.append(.init(offset: error.offset ?? 0, message: error.message))
    }
    freeList.pages = map.count
    for run in map.runs() {
      freeList.runs += 1
      freeList.longestRun = max(freeList.longestRun, run.length)
    }
    return map
  }

  /// Asks the file system where the file has holes, and counts free pages that lie in them.
  private mutating func measureRoom(
    _ pages: PageFile, _ free: BTreeFreeMap
  ) throws(StorageError) {
    var solid = BTreeFreeMap()
    let size = Int64(pageSize)
    var position: Int64 = 0
    while position < fileBytes, let data = try pages.file.data(from: position) {
      let end = min(data.upperBound, fileBytes)
      if end <= position { break }
      mediumBytes += end - max(position, data.lowerBound)
      for page in (data.lowerBound / size)..<((end + size - 1) / size) { solid.insert(Int(page)) }
      position = end
    }
    for run in free.runs() {
      for page in run.start..<(run.start + run.length) where !solid.contains(page) {
        freeList.pagesWithoutRoom += 1
      }
    }
  }

  /// Every page is reached, free or part of the free list (docs/formats/btree.md, invariant 1).
  private mutating func account(_ free: BTreeFreeMap, reached: Int) {
    let rest =
      pageCount - Int(BTreePage.firstPage) - reached - free.count - freeList.listPages.count
    if rest == 0 { return }
    problems.append(
      .init(
        offset: 0,
        message: rest > 0
          ? "\(rest) pages are neither reached nor free" : "\(-rest) pages are counted twice"))
  }
}

/// Visits every page of a tree once.
struct BTreeWalk {
  let pages: PageFile
  let limit: Int
  /// Index: level, leaves first.
  var levels: [BTreeAnatomy.Level]
  var overflowPages = 0
  /// Leaves and branches met.
  var nodes = 0
  var problems: [BTreeAnatomy.Problem] = []
  private var visited = Set<UInt32>()

  init(_ pages: PageFile, limit: Int) {
    self.pages = pages
    self.limit = limit
    levels = (0..<Int(pages.superblock.height)).map { BTreeAnatomy.Level(level: $0) }
  }

  /// Returns the subtree as far as it is to be drawn; nil for a page that cannot be read.
  mutating func visit(_ id: UInt32, level: Int) throws(StorageError) -> BTreeAnatomy.Node? {
    let offset = pages.offset(id)
    let (page, problem) = try pages.load(id)
    defer { pages.release() }
    if let problem {
      problems.append(.init(offset: offset, message: problem))
      return nil
    }
    guard visited.insert(id).inserted else {
      problems.append(.init(offset: offset, message: "page \(id) is reached twice"))
      return nil
    }
    guard page.level == level, page.isLeaf || page.isBranch else {
      problems.append(
        .init(offset: offset, message: "page \(id) should be a page of level \(level)"))
      return nil
    }
    nodes += 1
    levels[level].add(page)
    if page.mayHaveChains { countChains(page) }
    var node = nodes <= limit ? BTreeAnatomy.Node(page) : nil
    guard page.isBranch else { return node }
    for index in 0...page.count {
      let child = try visit(page.child(index), level: level - 1)
      if let child { node?.children.append(child) }
    }
    return node
  }

  private mutating func countChains(_ page: BTreePage) {
    let capacity = BTreePage.payloadCapacity(page.size)
    for index in 0..<page.count where page.slot(index).hasChain {
      let length = Int(clamping: ChainReference(page.payload(page.slot(index))).length)
      overflowPages &+= (length &+ capacity &- 1) / capacity
    }
  }
}

extension BTreeAnatomy.Level {
  fileprivate mutating func add(_ page: BTreePage) {
    let room = page.size - BTreePage.headerBytes
    pages += 1
    cells += page.count
    usedBytes += page.used
    roomBytes += room
    pagesByTenth[min(9, max(0, page.used * 10 / room))] += 1
    oldestEpoch = min(oldestEpoch, page.epoch)
    newestEpoch = max(newestEpoch, page.epoch)
  }

  /// 0 for a level without pages.
  public var percentFull: Int { roomBytes == 0 ? 0 : usedBytes * 100 / roomBytes }
}

extension BTreeAnatomy.Node {
  private static let keyLimit = 24

  fileprivate init(_ page: BTreePage) {
    self.init(
      page: page.id, level: page.level, cells: page.count,
      percentFull: page.used * 100 / (page.size - BTreePage.headerBytes), epoch: page.epoch)
    func key(_ index: Int) -> String {
      let slot = page.slot(index)
      let bytes = page.prefix.array + page.keySuffix(slot).array
      let text = printable(bytes, limit: BTreeAnatomy.Node.keyLimit)
      return slot.keyContinues && !text.hasSuffix("…") ? text + "…" : text
    }
    if page.isBranch {
      separators = (0..<page.count).map(key)
    } else if page.count > 0 {
      firstKey = key(0)
      lastKey = key(page.count - 1)
    }
  }
}
