import Glibc

/// The memory of one memtable: a reserved address range that is touched from the front and
/// given back whole. Nodes name each other by 32-bit offsets in units of eight bytes.
final class MemtableArena: @unchecked Sendable {
  /// What 32-bit offsets in units of eight bytes can address.
  static let maximumCapacity = 1 << 35
  private static let hugePage = 2 << 20

  let base: UnsafeMutableRawPointer
  let capacity: Int
  private let mapped: UnsafeMutableRawPointer
  private let mappedBytes: Int
  /// Bytes handed out. Changed by the one writer only.
  private(set) var used = 0

  /// Reserves `capacity` bytes; pages come as they are touched.
  /// Errors: `io` when the system has no addresses to give.
  init(capacity: Int) throws(StorageError) {
    let wantsHugePages = capacity >= 2 * MemtableArena.hugePage
    let alignment = wantsHugePages ? MemtableArena.hugePage : 4096
    self.capacity = capacity
    mappedBytes = capacity + alignment
    guard capacity <= MemtableArena.maximumCapacity,
      let address = mmap(
        nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1, 0), address != MAP_FAILED
    else {
      throw StorageError(
        .io, "cannot reserve \(capacity) bytes for a memtable", remedy: "Write smaller batches",
        errno: errno)
    }
    mapped = address
    let aligned = (UInt(bitPattern: address) + UInt(alignment) - 1) & ~(UInt(alignment) - 1)
    base = address + Int(aligned - UInt(bitPattern: address))
    // Random probes over tens of megabytes live on the address-translation cache.
    if wantsHugePages { madvise(base, capacity, MADV_HUGEPAGE) }
  }

  deinit { munmap(mapped, mappedBytes) }

  /// The next `bytes`, eight-byte aligned, zeroed. REQUIRES: room for them.
  @inline(__always)
  func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    let start = used
    used = start &+ ((bytes &+ 7) & ~7)
    return base + start
  }

  var remaining: Int { capacity - used }
}
