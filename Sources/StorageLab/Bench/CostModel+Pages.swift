import Glibc

/// Trees of pages, and caches of whatever is read at a time.
extension CostModel {
  struct PageTree {
    let leaves: Int
    let height: Int
    let fill: Double
    let basis: String
  }

  /// Inserts in ascending order fill pages; in random order it depends on the `neighbours`, the page
  /// itself included, that an overflow is spread over.
  func tree(
    page: Int, header: Int, cell: Int, separator: Int, neighbours: Double
  ) -> PageTree {
    let fill = isAscending ? 1 : neighbours * log1p(1 / neighbours)
    let room = Double(page - header) * fill
    let perLeaf = max(1, room / Double(cell))
    let leaves = max(1, Int((Double(entries) / perLeaf).rounded(.up)))
    let fanout = max(2, room / Double(separator))
    var level = Double(leaves)
    var height = 1
    while level > 1 {
      level = (level / fanout).rounded(.up)
      height += 1
    }
    return PageTree(
      leaves: leaves, height: height, fill: fill,
      basis: "\(Quantity.ratio(perLeaf)) entries a leaf, \(Int(fanout)) children a branch")
  }

  func bTree(page: Int) -> [Prediction] {
    let tree = tree(
      page: page, header: BTreePage.headerBytes,
      cell: userBytes + BTreePage.slotBytes + 2,
      separator: keyBytes / 2 + BTreePage.slotBytes + 6, neighbours: 1)
    var predictions = shape(tree, page: page)
    guard let cache = misses(page: page, pages: tree.leaves) else { return predictions }
    predictions.append(cache.prediction)
    if writes > 0 {
      predictions.append(
        Prediction(
          figure: .logBytes, value: durability == "none" ? 0 : logRecordBytes,
          basis: "one record of the log a write or batch"))
      // A page goes to the file when room is needed, and once more at the checkpoint at the end.
      predictions.append(
        Prediction(
          figure: .dataBytes, value: Double(page) * cache.pagesWritten / Double(writes),
          basis: "changed pages that leave the cache, and those in it at the end"))
    }
    return predictions
  }

  func sqlite(page: Int) -> [Prediction] {
    // A cell: lengths as varints, the row's header; a pointer of two bytes. A page ends in a checksum.
    let tree = tree(
      page: page, header: 8 + 8, cell: userBytes + 9, separator: keyBytes + 10,
      neighbours: 3)
    var predictions = shape(tree, page: page)
    if let cache = misses(page: page, pages: tree.leaves) { predictions.append(cache.prediction) }
    if writes > 0 {
      let perTransaction = Double(workload.itemsPerOperation)
      predictions.append(
        Prediction(
          figure: .logBytes,
          value: (Double(page) + 24) * distinct(perTransaction, of: tree.leaves) / perTransaction,
          basis: "a frame of the log for each leaf that a transaction changes"))
      let interval = Double(SQLiteOptions().checkpointBytes) / Double(page + 24)
      predictions.append(
        Prediction(
          figure: .dataBytes,
          value: Double(page) * distinct(min(interval, Double(writes)), of: tree.leaves)
            / min(interval, Double(writes)),
          basis: "each leaf changed since the last checkpoint once, every "
            + "\(Quantity.grouped(interval)) frames"))
    }
    return predictions
  }

  var durability: String { result.durability }

  func shape(_ tree: PageTree, page: Int) -> [Prediction] {
    [
      Prediction(figure: .height, value: Double(tree.height), basis: tree.basis),
      Prediction(
        figure: .spaceAmplification,
        value: Double(tree.leaves) * Double(page) * (1 + 1 / 64)
          / (Double(entries) * Double(userBytes)),
        basis: "leaves \(Quantity.percent(tree.fill)) % full, and the branches above"),
    ]
  }

  /// Different pages among `draws` of `pages`.
  func distinct(_ draws: Double, of pages: Int) -> Double {
    Double(pages) * (1 - exp(-draws / Double(pages)))
  }

  struct CacheFigures {
    let prediction: Prediction
    let pagesWritten: Double
  }

  /// The workload's requests through a cache of the run's budget. `buffered` is how many of the last
  /// writes are found before the pages are asked for. Nil for requests that read more than the model
  /// follows.
  func misses(page: Int, pages: Int, buffered: Int = 0) -> CacheFigures? {
    guard !workload.scansEverything, requests > 0, requests <= 50_000_000 else { return nil }
    let share = min(1, Double(configuration.cacheBytes) / Double(max(1, page * pages)))
    if workload.startsEmpty { return growing(pages: pages, share: share) }
    var model = CacheModel(pages: pages, capacity: configuration.cacheBytes / page)
    let isHashed = workload.family == .ycsb
    let records = configuration.records
    func place(_ record: Int) -> Int {
      let record = min(record, records - 1)
      if !isHashed { return record * pages / records }
      return Int(Hash64.hash(UInt64(record)).multipliedFullWidth(by: UInt64(pages)).high)
    }
    let perPage = max(1, records / pages)
    var lastWrite = buffered > 0 ? [Int32](repeating: .min, count: records) : []
    var written: Int32 = 0
    for thread in 0..<configuration.threads {
      var stream = RequestStream(workload, configuration, records: records, thread: thread)
      while let request = stream.next() {
        let record = min(request.record, records - 1)
        if buffered > 0 {
          if request.kind.writes {
            written &+= 1
            lastWrite[record] = written
            // Blocks are never changed; a read before the write may look into one.
            if request.kind != .readModifyWrite { continue }
          } else if lastWrite[record] > 0, Int(written - lastWrite[record]) < buffered {
            continue
          }
        }
        let first = place(record)
        switch request.kind {
        case .batch:
          for item in 0..<request.length {
            model.touch(place(stream.record(of: request, item)), writes: true)
          }
        case .scan, .prefixScan:
          // The first page and those that the entries go on to.
          for offset in 0...(request.length / perPage) {
            model.touch(min(pages - 1, first + offset), writes: false)
          }
        default:
          model.touch(first, writes: request.kind.writes)
        }
      }
    }
    return CacheFigures(
      prediction: Prediction(
        figure: .missesPerRequest, value: Double(model.misses) / Double(requests),
        basis: "a cache of \(Quantity.percent(share)) % of the pages, least recently used first out"
      ),
      pagesWritten: Double(model.dirtyEvictions + model.dirtyPages))
  }

  /// A tree that grows from nothing: once it outgrows the cache, a put in random order meets the
  /// cached share of what there is by then.
  func growing(pages: Int, share: Double) -> CacheFigures {
    let cached = min(1, max(share, 1e-9))
    let misses =
      isAscending ? 1 / Double(max(1, entries / pages)) : 1 - cached + cached * log(cached)
    let written =
      isAscending ? Double(pages) : misses * Double(entries) + cached * Double(pages)
    return CacheFigures(
      prediction: Prediction(
        figure: .missesPerRequest,
        value: isAscending ? 0 : misses * Double(workload.itemsPerOperation),
        basis: "the tree grows to \(Quantity.ratio(1 / cached)) times the cache"),
      pagesWritten: written)
  }
}
