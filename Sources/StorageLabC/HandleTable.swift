import CStorageLab
import Glibc
import StorageLab
import Synchronization

/// What a handle stands for. Part of the handle, so that one of another kind is found out.
enum HandleKind: UInt64 {
  case error = 1
  case options, database, batch, snapshot, iterator
}

/// Handles are numbers dressed as pointers: 20 bits of slot, 8 of kind, 36 of generation. A call looks
/// the number up and never follows it, so whatever a caller passes is recognised or refused. A slot
/// holds the number that is valid now and the object that it stands for.
///
/// Slots of a *shared* table may be used by several threads at a time, one of which may retire the
/// handle. Users pin the slot: they count themselves in, then look at the number again; `retire` takes
/// the number away, then waits until nobody is counted in. The counters are striped by thread, so that
/// readers on several processors do not pull at one cache line.
struct HandleTable: Sendable {
  /// The handles of databases and snapshots.
  static let shared = HandleTable(capacity: 1 << 16, isShared: true)
  /// All others; each is for one thread at a time.
  static let single = HandleTable(capacity: 1 << 20, isShared: false)

  struct Slot: ~Copyable {
    /// The valid handle; 0 for none.
    let number: Atomic<UInt64>
    let object: Atomic<UInt>
    /// `pinStripes` counters, a cache line pair apart; made when first needed, then kept.
    var pins: UnsafeMutableRawPointer?
    /// The next free slot; 0 ends the list.
    var nextFree: UInt64
    var generation: UInt64
  }

  private struct Free {
    var head: UInt64 = 0
    /// Slots that were never used begin here. Slot 0 is NULL's.
    var unused: UInt64 = 1
  }

  private final class State: Sendable {
    let free = Guarded<Free>(Free())
  }

  private static let slotMask: UInt64 = (1 << 20) - 1
  private static let generationMask: UInt64 = (1 << 36) - 1
  static let pinStripes = 16
  static let pinStride = 128

  private nonisolated(unsafe) let slots: UnsafeMutablePointer<Slot>
  private let capacity: UInt64
  private let isShared: Bool
  private let state = State()

  /// The memory is the operating system's zeros until a slot is used, and never given back.
  private init(capacity: Int, isShared: Bool) {
    self.capacity = UInt64(capacity)
    self.isShared = isShared
    let bytes = capacity * MemoryLayout<Slot>.stride
    let memory = mmap(
      nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    let isMapped = memory != UnsafeMutableRawPointer(bitPattern: -1)
    let base = isMapped ? memory : nil
    slots = (base ?? .allocate(byteCount: bytes, alignment: 64))
      .bindMemory(to: Slot.self, capacity: capacity)
    if base == nil { memset(slots, 0, bytes) }
  }

  /// A handle for `object`, which it keeps alive until `retire`; nil when there are too many.
  func make(_ kind: HandleKind, _ object: AnyObject) -> OpaquePointer? {
    let index: UInt64? = state.free.withLock { free in
      if free.head != 0 {
        let index = free.head
        free.head = slots[Int(index)].nextFree
        return index
      }
      guard free.unused < capacity else { return nil }
      free.unused += 1
      return free.unused - 1
    }
    guard let index else { return nil }
    let slot = slots + Int(index)
    if isShared && slot.pointee.pins == nil {
      let bytes = HandleTable.pinStripes * HandleTable.pinStride
      let pins = UnsafeMutableRawPointer.allocate(
        byteCount: bytes, alignment: HandleTable.pinStride)
      memset(pins, 0, bytes)
      slot.pointee.pins = pins
    }
    slot.pointee.generation = (slot.pointee.generation + 1) & HandleTable.generationMask
    let number = slot.pointee.generation << 28 | kind.rawValue << 20 | index
    let retained = Unmanaged.passRetained(object).toOpaque()
    slot.pointee.object.store(UInt(bitPattern: retained), ordering: .relaxed)
    slot.pointee.number.store(number, ordering: .releasing)
    return OpaquePointer(bitPattern: UInt(number))
  }

  /// The slot of a handle that is valid now; nil for any other.
  @inline(__always)
  private func slot(_ number: UInt64, _ kind: HandleKind) -> UnsafeMutablePointer<Slot>? {
    let index = number & HandleTable.slotMask
    guard number >> 20 & 0xff == kind.rawValue, index < capacity else { return nil }
    let slot = slots + Int(index)
    return slot.pointee.number.load(ordering: .acquiring) == number ? slot : nil
  }

  /// Lends the object of a handle that one thread uses at a time. Nil when it is not valid.
  @inline(__always)
  func borrow<Object: AnyObject, R>(
    _ handle: OpaquePointer?, _ kind: HandleKind, _ type: Object.Type, _ body: (Object) -> R
  ) -> R? {
    let number = UInt64(UInt(bitPattern: handle))
    guard let slot = slot(number, kind),
      let object = UnsafeRawPointer(bitPattern: slot.pointee.object.load(ordering: .relaxed))
    else { return nil }
    return Unmanaged<Object>.fromOpaque(object)._withUnsafeGuaranteedRef(body)
  }

  /// Lends the object of a shared handle; it outlives the call whoever retires the handle.
  @inline(__always)
  func pin<Object: AnyObject, R>(
    _ handle: OpaquePointer?, _ kind: HandleKind, _ type: Object.Type, _ body: (Object) -> R
  ) -> R? {
    let number = UInt64(UInt(bitPattern: handle))
    guard let slot = slot(number, kind), let pins = slot.pointee.pins else { return nil }
    // Threads' control blocks lie far apart: a multiplicative hash spreads them.
    let thread = (UInt64(pthread_self()) &* 0x9e37_79b9_7f4a_7c15) >> 60
    let count = HandleTable.counter(pins, Int(thread))
    count.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    defer { count.pointee.wrappingSubtract(1, ordering: .releasing) }
    guard slot.pointee.number.load(ordering: .sequentiallyConsistent) == number,
      let object = UnsafeRawPointer(bitPattern: slot.pointee.object.load(ordering: .relaxed))
    else { return nil }
    return Unmanaged<Object>.fromOpaque(object)._withUnsafeGuaranteedRef(body)
  }

  @inline(__always)
  private static func counter(
    _ pins: UnsafeMutableRawPointer, _ stripe: Int
  ) -> UnsafeMutablePointer<Atomic<Int>> {
    (pins + stripe * pinStride).assumingMemoryBound(to: Atomic<Int>.self)
  }

  /// Ends a handle: from now on it is refused. `end` makes calls that are under way come to an end;
  /// the object is released once they have. Nil when the handle is not valid: of several callers one
  /// ends it.
  func retire<Object: AnyObject, R>(
    _ handle: OpaquePointer?, _ kind: HandleKind, _ type: Object.Type, _ end: (Object) -> R
  ) -> R? {
    let number = UInt64(UInt(bitPattern: handle))
    guard let slot = slot(number, kind),
      slot.pointee.number.compareExchange(
        expected: number, desired: 0, ordering: .sequentiallyConsistent
      ).exchanged,
      let object = UnsafeRawPointer(bitPattern: slot.pointee.object.load(ordering: .relaxed))
    else { return nil }
    let owned = Unmanaged<Object>.fromOpaque(object).takeRetainedValue()
    let result = end(owned)
    if let pins = slot.pointee.pins {
      for stripe in 0..<HandleTable.pinStripes {
        let count = HandleTable.counter(pins, stripe)
        while count.pointee.load(ordering: .sequentiallyConsistent) != 0 {
          LabThread.sleep(nanoseconds: 20_000)
        }
      }
    }
    withExtendedLifetime(owned) {}
    let index = number & HandleTable.slotMask
    state.free.withLock { free in
      slot.pointee.nextFree = free.head
      free.head = index
    }
    return result
  }
}
