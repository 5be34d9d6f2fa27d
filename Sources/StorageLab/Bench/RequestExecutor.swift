/// Sends requests to an engine and checks every answer. One per thread.
final class RequestExecutor {
  /// What the answers came to.
  struct Tally: Sendable {
    var found: UInt64 = 0
    var missing: UInt64 = 0
    /// Entries that scans and steps returned.
    var entries: UInt64 = 0
    /// Bytes of keys and values returned; a point read returns its value.
    var bytesReturned: UInt64 = 0
    /// Acknowledged write requests, and the bytes of their keys and values.
    var writes: UInt64 = 0
    var bytesWritten: UInt64 = 0

    static func + (left: Tally, right: Tally) -> Tally {
      var sum = left
      sum.found += right.found
      sum.missing += right.missing
      sum.entries += right.entries
      sum.bytesReturned += right.bytesReturned
      sum.writes += right.writes
      sum.bytesWritten += right.bytesWritten
      return sum
    }
  }

  private let engine: any StorageEngine
  private let engineName: String
  private let source: any RecordSource
  private let ledger: RecordLedger
  /// Nobody else writes while this thread reads: answers must be exact.
  private let isAlone: Bool
  /// Behind a pointer: a class's property costs a dynamic exclusivity check per access.
  private let counts: UnsafeMutablePointer<Tally>
  var tally: Tally { counts.pointee }
  /// For `next` and `previous`, which run over the database across requests.
  private var walker: (any Cursor)?
  private var lastWalked: [UInt8] = []
  /// Where answers wait for their check; nil where they are checked at once.
  private let sheet: AnswerSheet?

  init(
    _ engine: any StorageEngine, name: String, _ source: any RecordSource, _ ledger: RecordLedger,
    isAlone: Bool, sheet: AnswerSheet? = nil
  ) {
    self.engine = engine
    engineName = name
    self.source = source
    self.ledger = ledger
    self.isAlone = isAlone
    self.sheet = sheet
    counts = .allocate(capacity: 1)
    counts.initialize(to: Tally())
  }

  deinit { counts.deallocate() }

  /// Releases what the requests left open.
  func finish() {
    walker?.close()
    walker = nil
  }

  /// Errors: the engine's; `corruption` when an answer is not what was written.
  @inline(__always)
  func execute(
    _ slot: RequestArena.Slot, _ index: Int, in arena: RequestArena
  ) throws(StorageError) {
    let request = slot.request
    let key = arena.key(index, slot)
    switch request.kind {
    case .read:
      try read(request.record, key)
    case .readMissing:
      let found = try engine.read(key.rawBuffer.bytes) { _ in }
      if found { throw wrong("found a value", key) }
      counts.pointee.missing += 1
    case .put, .insert:
      try put(slot, key, arena.value(slot))
    case .readModifyWrite:
      try read(request.record, key)
      try put(slot, key, arena.value(slot))
    case .delete:
      try engine.delete(key.rawBuffer.bytes)
      ledger.acknowledge(request.record, version: slot.version, isPresent: false)
      counts.pointee.writes += 1
      counts.pointee.bytesWritten += UInt64(key.count)
    case .batch:
      try write(arena.batch(slot))
    case .scan:
      try scan(request, key)
    case .prefixScan:
      try prefixScan(request, key)
    case .fullScan:
      try scanEverything()
    case .seek:
      try seek(request, key)
    case .next:
      try step(forward: true)
    case .previous:
      try step(forward: false)
    }
  }

  // MARK: Writing

  @inline(__always)
  private func put(
    _ slot: RequestArena.Slot, _ key: ByteSlice, _ value: ByteSlice
  ) throws(StorageError) {
    try engine.put(key.rawBuffer.bytes, value.rawBuffer.bytes)
    ledger.acknowledge(slot.request.record, version: slot.version, isPresent: true)
    counts.pointee.writes += 1
    counts.pointee.bytesWritten += UInt64(key.count + value.count)
  }

  private func write(_ prepared: RequestArena.PreparedBatch) throws(StorageError) {
    try engine.write(prepared.batch)
    for (record, version) in prepared.records {
      ledger.acknowledge(record, version: version, isPresent: true)
    }
    counts.pointee.writes += 1
    counts.pointee.bytesWritten += UInt64(prepared.userBytes)
  }

  // MARK: Reading

  @inline(__always)
  private func read(_ record: Int, _ key: ByteSlice) throws(StorageError) {
    guard let sheet else { return try readAndCheck(record, key) }
    var length = -1
    let found = try engine.read(key.rawBuffer.bytes) { span in length = sheet.keep(span) }
    sheet.note(record, valueBytes: length)
    if found {
      counts.pointee.found += 1
      counts.pointee.bytesReturned += UInt64(max(0, length))
    } else {
      counts.pointee.missing += 1
    }
  }

  /// Whether answers must be checked before the next request.
  @inline(__always)
  var mustCheckAnswers: Bool { sheet?.isFull ?? false }

  /// Checks the answers that wait for it, `limit` at most. Returns whether there was one.
  /// Errors: `corruption` when one is wrong.
  @discardableResult
  func checkAnswers(atMost limit: Int = .max) throws(StorageError) -> Bool {
    guard let sheet else { return false }
    return try sheet.check(atMost: limit) { (what, record) throws(StorageError) in
      var key = [UInt8](repeating: 0, count: RecordLimits.keyBytes)
      let count = key.withUnsafeMutableBytes { buffer in
        buffer.baseAddress.map { source.writeKey(record, to: $0) } ?? 0
      }
      throw key.withSlice { wrong(what, $0.prefix(count)) }
    }
  }

  @inline(__always)
  private func readAndCheck(_ record: Int, _ key: ByteSlice) throws(StorageError) {
    let before = ledger.state(record)
    var version: UInt32?
    var length = 0
    let source = source
    let found = try engine.read(key.rawBuffer.bytes) { span in
      span.withSlice { slice in
        length = slice.count
        version = source.version(of: slice, record: record)
      }
    }
    try check(record, key, found: found, version: version, before: before)
    if found {
      counts.pointee.found += 1
      counts.pointee.bytesReturned += UInt64(length)
    } else {
      counts.pointee.missing += 1
    }
  }

  /// Holds an answer against the ledger. `before` is the record's state before the request:
  /// an answer may be as new as the owner's write that is under way, never older than it.
  @inline(__always)
  private func check(
    _ record: Int, _ key: ByteSlice, found: Bool, version: UInt32?, before: RecordLedger.State
  ) throws(StorageError) {
    if found {
      guard let version else { throw wrong("returned a value that was never written", key) }
      if isAlone {
        if before.isPresent && version == before.version { return }
      } else {
        let newest = ledger.state(record).version &+ 1
        if version >= before.version && version <= newest { return }
      }
      throw wrong("returned version \(version); version \(before.version) was acknowledged", key)
    }
    if !before.isPresent { return }
    if !isAlone && ledger.state(record) != before { return }
    throw wrong("did not find version \(before.version), which was acknowledged", key)
  }

  // MARK: Scanning

  /// Reads entries from a cursor's place on and notes what they came to.
  @inline(__always)
  private func read(
    _ cursor: any Cursor, from start: Int?, limit: Int, _ sheet: AnswerSheet
  ) throws(StorageError) {
    var fingerprint = ScanFingerprint()
    var bytes = 0
    while cursor.isValid {
      let (key, value) = (cursor.key, cursor.value)
      fingerprint.add(key, value)
      bytes &+= key.count &+ value.count
      if fingerprint.entries == limit { break }
      try cursor.next()
    }
    sheet.note(scanFrom: start, limit: limit, fingerprint)
    counts.pointee.entries += UInt64(fingerprint.entries)
    counts.pointee.bytesReturned += UInt64(bytes)
  }

  private func scanEverything() throws(StorageError) {
    guard let sheet, source.isSortedByKey else { return try checkEverything() }
    let cursor = try engine.cursor(.all)
    defer { cursor.close() }
    try cursor.seekToFirst()
    try read(cursor, from: nil, limit: .max, sheet)
  }

  private func scan(_ request: Request, _ key: ByteSlice) throws(StorageError) {
    if let sheet, source.isSortedByKey {
      let cursor = try engine.cursor(.all)
      defer { cursor.close() }
      try cursor.seek(key.rawBuffer.bytes)
      return try read(cursor, from: request.record, limit: request.length, sheet)
    }
    let cursor = try engine.cursor(.all)
    defer { cursor.close() }
    let start = ledger.state(request.record)
    try cursor.seek(key.rawBuffer.bytes)
    var expected = request.record
    var read = 0
    while cursor.isValid && read < request.length {
      let found = try entry(cursor, key)
      // A scan begins at its record; where numbers are in key order it also leaves none out.
      let isDue =
        read == 0
        ? start.isPresent
        : source.isSortedByKey && isAlone && expected < ledger.capacity
          && ledger.state(expected).isPresent
      if isDue && found != expected {
        throw wrong("scanned past a record that is there", cursor.key)
      }
      expected = found + 1
      read += 1
      if read < request.length { try cursor.next() }
    }
  }

  private func prefixScan(_ request: Request, _ key: ByteSlice) throws(StorageError) {
    let prefix = key.prefix(min(request.length, key.count)).array
    let cursor = try engine.cursor(KeyRange(prefix: prefix))
    defer { cursor.close() }
    guard
      let rows = source.records(sharingPrefixOf: request.record, length: prefix.count)
    else { return }
    try cursor.seekToFirst()
    var row = rows.lowerBound
    while cursor.isValid {
      let found = try entry(cursor, key)
      if found != row { throw wrong("scanned row \(found) instead of \(row)", cursor.key) }
      row += 1
      try cursor.next()
    }
    if row != rows.upperBound {
      throw wrong("ended a scan \(rows.upperBound - row) entries early", key)
    }
  }

  private func seek(_ request: Request, _ key: ByteSlice) throws(StorageError) {
    let cursor = try engine.cursor(.all)
    defer { cursor.close() }
    let state = ledger.state(request.record)
    try cursor.seek(key.rawBuffer.bytes)
    guard cursor.isValid else {
      if state.isPresent { throw wrong("found nothing at or after a key that is there", key) }
      counts.pointee.missing += 1
      return
    }
    let found = try entry(cursor, key)
    if state.isPresent && found != request.record {
      throw wrong("seeked past a record that is there", cursor.key)
    }
    counts.pointee.found += 1
  }

  private func step(forward: Bool) throws(StorageError) {
    let cursor: any Cursor
    if let walker {
      cursor = walker
      if forward { try cursor.next() } else { try cursor.previous() }
    } else {
      cursor = try engine.cursor(.all)
      walker = cursor
    }
    if !cursor.isValid || lastWalked.isEmpty {
      lastWalked.removeAll(keepingCapacity: true)
      if forward { try cursor.seekToFirst() } else { try cursor.seekToLast() }
      guard cursor.isValid else {
        counts.pointee.missing += 1
        return
      }
    }
    let key = cursor.key
    _ = try entry(cursor, key)
    let isInOrder = lastWalked.withSlice { last in
      last.isEmpty || (forward ? last < key : key < last)
    }
    if !isInOrder { throw wrong("stepped out of order", key) }
    lastWalked.removeAll(keepingCapacity: true)
    lastWalked.append(contentsOf: key.rawBuffer)
  }

  /// Reads the whole database and holds it against the ledger: every acknowledged record is
  /// there, and nothing else. REQUIRES: nobody writes.
  func checkEverything() throws(StorageError) {
    let cursor = try engine.cursor(.all)
    defer { cursor.close() }
    try cursor.seekToFirst()
    var entries: UInt64 = 0
    while cursor.isValid {
      _ = try entry(cursor, cursor.key)
      entries += 1
      try cursor.next()
    }
    let live = ledger.live(source).entries
    if entries != live {
      throw wrong("holds \(entries) entries where \(live) were acknowledged", .empty)
    }
  }

  /// Checks the entry under a cursor and returns its record.
  @inline(__always)
  private func entry(_ cursor: any Cursor, _ wanted: ByteSlice) throws(StorageError) -> Int {
    let key = cursor.key
    let value = cursor.value
    guard let record = source.record(key: key, value: value), record < ledger.capacity else {
      throw wrong("returned an entry that was never written", key)
    }
    let state = ledger.state(record)
    guard let version = source.version(of: value, record: record) else {
      throw wrong("returned a value that was never written", key)
    }
    // A cursor sees the moment of its making, so beside writers only the future is wrong.
    let isRight =
      isAlone ? state.isPresent && version == state.version : version <= state.version &+ 1
    if !isRight {
      throw wrong("scanned version \(version); version \(state.version) was acknowledged", key)
    }
    counts.pointee.entries += 1
    counts.pointee.bytesReturned += UInt64(key.count + value.count)
    return record
  }

  private func wrong(_ what: String, _ key: ByteSlice) -> StorageError {
    StorageError(
      .corruption,
      "\(engineName) \(what)" + (key.isEmpty ? "" : ", key \(printable(key.rawBuffer))"),
      remedy: "This is a fault of the engine; the run ends, since its figures mean nothing",
      path: engine.options.path)
  }
}
