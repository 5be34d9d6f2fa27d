/// Pulling the plug, and what must be there afterwards.
extension ProgramRun {
  /// What a crash right now leaves; this world ends.
  func wreck(_ mode: CrashMode) -> Wreck {
    Wreck(fileSystem: fileSystem.crash(mode), mode: mode, time: ledger.clock.now)
  }

  mutating func crash(_ mode: CrashMode) throws(ProgramFailure) {
    guard runner.engine.isPersistent else { return }
    try recover(wreck(runner.effective(mode, durability)), inFlight: nil)
  }

  mutating func arm(calls: Int, _ mode: CrashMode) {
    guard runner.engine.isPersistent else { return }
    armed.append((max(1, calls), runner.effective(mode, durability)))
    if armed.count == 1 { armNext() }
  }

  private func armNext() {
    guard let (calls, mode) = armed.first else { return }
    let target = fileSystem.callCount + calls
    fileSystem.onCall { [unowned fileSystem, slot, ledger] (call) throws(StorageError) in
      guard call.index >= target, slot.value == nil else { return }
      slot.value = Wreck(
        fileSystem: fileSystem.crash(mode), mode: mode, time: ledger.clock.now)
    }
  }

  /// Goes on in the world after a crash. The old engine is closed in the old one, where it
  /// can do no harm.
  mutating func recover(
    _ wreck: Wreck, inFlight: ProgramOperation?
  ) throws(ProgramFailure) {
    executor?.closeSnapshots()
    oracleExecutor.closeSnapshots()
    do throws(StorageError) { try executor?.engine.close() } catch {}
    executor = nil
    if fileSystem !== wreck.fileSystem { fileSystem.onCall(nil) }
    if slot.value != nil {
      slot.value = nil
      armedCrashes += 1
      armed.removeFirst()
    } else {
      armed = []
    }
    var unacknowledged: AcknowledgedHistory.State?
    if let inFlight, inFlight.isChange, oracleExecutor.run(inFlight) == .done {
      unacknowledged = try oracleState()
    }
    ledger.history.crash(wreck.mode, inFlight: unacknowledged)
    ledger.inFlight = nil
    fileSystem = wreck.fileSystem
    ledger.clock = SteppingClock(at: wreck.time)
    armNext()
    try open()
    // Crashed again, and recovered from that.
    if fileSystem !== wreck.fileSystem { return }
    try settleOnAllowedState(wreck)
    if fileSystem !== wreck.fileSystem { return }
    try compareAll()
    try compare(.verify)
  }

  private mutating func settleOnAllowedState(_ wreck: Wreck) throws(ProgramFailure) {
    let found: [ProgramOutcome.Item]
    do throws(StorageError) { found = try contents() } catch {
      if let next = slot.value { return try recover(next, inFlight: nil) }
      throw fail("the recovered database is readable", "\(error.code.rawValue): \(error)")
    }
    let allowed = ledger.history.allowed
    for position in allowed.indices.reversed() {
      let state = allowed[position].contents
      guard try entries(state) == found else { continue }
      try restoreOracle(state)
      ledger.history.settle(at: position, after: wreck.mode)
      return
    }
    guard let newest = allowed.last else { return }
    throw differ(
      .items(try entries(newest.contents)), .items(found),
      allowed.count == 1
        ? "the acknowledged state: " : "one of \(allowed.count) states, the latest: ")
  }

  private func contents() throws(StorageError) -> [ProgramOutcome.Item] {
    guard let executor else { return [] }
    let cursor = try executor.engine.cursor()
    defer { cursor.close() }
    return try ProgramExecutor.scan(cursor)
  }

  private func entries(_ state: any Snapshot) throws(ProgramFailure) -> [ProgramOutcome.Item] {
    do throws(StorageError) { return try ProgramExecutor.scan(try state.cursor()) } catch {
      throw fail("the oracle reads", error.description)
    }
  }
}
