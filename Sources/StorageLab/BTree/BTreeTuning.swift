/// What can be set on a B-tree beyond `EngineOptions`.
public struct BTreeTuning: Sendable {
  /// Bytes of a page: a power of two, 4 … 64 KiB. Fixed when the database is made; later
  /// opens use what the file says. Why 4 KiB: `docs/decisions/0007-pages-of-4-kib.md`.
  public var pageSize = 4 << 10
  /// A checkpoint is due once the log has grown by this many bytes. Bounds recovery time.
  public var checkpointLogBytes = 128 << 20
  /// With durability `none`, where no log measures the work: a checkpoint is due once this
  /// many bytes of pages were copied or made.
  public var checkpointPageBytes = 256 << 20
  /// Address space to reserve, and so the largest database. Costs no memory.
  public var maximumDatabaseBytes = 256 << 30
  /// Reads of the newest state go optimistically (no shared memory is written); false makes
  /// each read pin a momentary snapshot instead, for tools that cannot follow a seqlock.
  public var readsOptimistically = true

  public init() {}

  /// So small that splits, checkpoints and new log segments happen within some dozen writes: for
  /// tests.
  public static let small = {
    var tuning = BTreeTuning()
    tuning.pageSize = 4096
    tuning.checkpointLogBytes = 64 << 10
    tuning.checkpointPageBytes = 512 << 10
    tuning.maximumDatabaseBytes = 4 << 30
    return tuning
  }()

  /// The least number of pages a cache works with: a path to a leaf, its siblings, and as
  /// much again for readers.
  static let minimumCachePages = 64

  func validate() throws(StorageError) {
    guard BTreeTuning.isPageSize(pageSize) else {
      throw StorageError(
        .invalidArgument, "the page size is \(pageSize) bytes",
        remedy: "Choose a power of two from 4096 to 65536")
    }
  }

  static func isPageSize(_ size: Int) -> Bool {
    size >= 4096 && size <= 65536 && size & (size - 1) == 0
  }
}
