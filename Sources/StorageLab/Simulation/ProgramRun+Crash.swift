/// Pulling the plug, and what must be there afterwards.
extension ProgramRun: CrashableRun {
  /// What a crash right now leaves; this world ends.
  func wreck(_ mode: CrashMode) -> CrashWreck {
    CrashWreck(fileSystem: fileSystem.crash(mode), mode: mode, time: ledger.clock.now)
  }

  mutating func crash(_ mode: CrashMode) throws(ProgramFailure) {
    guard runner.engine.isPersistent else { return }
    try recover(wreck(runner.effective(mode, durability)), inFlight: nil)
  }

  mutating func arm(calls: Int, _ mode: CrashMode) {
    guard runner.engine.isPersistent else { return }
    armed.arm(calls: calls, runner.effective(mode, durability), fileSystem) { [ledger] in
      ledger.now
    }
  }

  /// Goes on in the world after a crash. The old engine is closed in the old one, where it
  /// can do no harm.
  mutating func recover(_ wreck: CrashWreck, after ledger: Ledger) throws(ProgramFailure) {
    try recover(wreck, inFlight: ledger.inFlight)
  }

  /// The same of a run that was under way.
  mutating func recover(
    _ wreck: CrashWreck, inFlight: ProgramOperation?
  ) throws(ProgramFailure) {
    executor?.closeSnapshots()
    oracleExecutor.closeSnapshots()
    do throws(StorageError) { try executor?.engine.close() } catch {}
    executor = nil
    if fileSystem !== wreck.fileSystem { fileSystem.onCall(nil) }
    armed.clear()
    var unacknowledged: AcknowledgedHistory.State?
    if let inFlight, inFlight.isChange, oracleExecutor.run(inFlight) == .done {
      unacknowledged = try oracleState()
    }
    ledger.history.crash(wreck.mode, inFlight: unacknowledged)
    ledger.inFlight = nil
    fileSystem = wreck.fileSystem
    ledger.clock = SteppingClock(at: wreck.time)
    armed.armNext(fileSystem) { [ledger] in ledger.now }
    try open()
    // Crashed again, and recovered from that.
    if fileSystem !== wreck.fileSystem { return }
    try settleOnAllowedState(wreck)
    if fileSystem !== wreck.fileSystem { return }
    try compareAll()
    try compare(.verify)
  }

  private mutating func settleOnAllowedState(_ wreck: CrashWreck) throws(ProgramFailure) {
    let found: [ProgramOutcome.Item]
    do throws(StorageError) { found = try contents() } catch {
      if let next = armed.wreck { return try recover(next, inFlight: nil) }
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
