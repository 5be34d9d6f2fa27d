/// Which merge operator the database's operands belong to.
extension LSMTree {
  /// Makes the operator's name durable before the first operand is: nobody may ever read operands
  /// without knowing what they mean. Costs one load from then on.
  /// Errors: `readOnly`, `closed`, `noSpace`, `io`.
  @inline(__always)
  func recordMergeOperator() throws(StorageError) {
    if !isOperatorRecorded.load(ordering: .acquiring) { try recordFirstMerge() }
  }

  @inline(never)
  private func recordFirstMerge() throws(StorageError) {
    guard let name = options.mergeOperator?.name else { throw .noMerges }
    try checkWritable()
    try queue.withExclusive { () throws(StorageError) in
      try checkOpen()
      if isOperatorRecorded.load(ordering: .relaxed) { return }
      var edit = VersionEdit(cause: .settings, nextFileNumber: 0, replay: .init())
      edit.mergeOperator = name
      let watch = StallWatch(options.events, options.clock)
      try watch.watch("the first merge names its operator") { () throws(StorageError) in
        try install(edit) { _ in }
      }
      isOperatorRecorded.store(true, ordering: .releasing)
    }
  }

  /// Refuses to open operands with another operator, or with none.
  static func checkMergeOperator(
    _ state: ManifestState, _ options: EngineOptions
  ) throws(StorageError) {
    if options.mergeOperator?.name.isEmpty == true {
      throw StorageError(
        .invalidArgument, "the merge operator has no name",
        remedy: "Give it one: a database remembers whose its operands are")
    }
    guard let recorded = state.mergeOperator, recorded != options.mergeOperator?.name else {
      return
    }
    let offered = options.mergeOperator.map { "the operator is \($0.name)" } ?? "there is none"
    throw StorageError(
      .invalidArgument,
      "the database has merges of the operator \(recorded), but \(offered)",
      remedy: "Open it with EngineOptions.mergeOperator set to the operator of that name",
      path: options.path)
  }
}
