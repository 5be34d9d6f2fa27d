extension BTreeAnatomy {
  /// The anatomy in words and pictures.
  public func describe() -> AnnotatedDump {
    var dump = AnnotatedDump(title: "B-tree \(path)")
    dump.heading(
      "\(entries) entries, height \(height), \(pageCount) pages of \(pageSize) bytes, "
        + "epoch \(epoch), checkpoint \(checkpoint)")
    dump.heading(
      "file of \(fileBytes) bytes, \(mediumBytes) of them on the medium; log contained up to "
        + "position \(logPosition)")
    for level in levels { level.describe(in: &dump) }
    dump.heading("overflow: \(overflowPages) pages", depth: 1)
    dump.heading(freeList.text, depth: 1)
    if let tree {
      dump.heading("tree, each child with the first key it may hold")
      tree.draw(label: "", indent: "", isLast: nil, in: &dump)
    } else if problems.isEmpty {
      dump.heading("tree: too large to draw; --limit sets the number of pages that are not")
    }
    for problem in problems { dump.problem(problem.offset, problem.message) }
    return dump
  }
}

extension BTreeAnatomy.FreeList {
  fileprivate var text: String {
    if pages == 0 && listPages.isEmpty { return "free: 0 pages" }
    var text =
      "free: \(pages) pages in \(runs) run\(runs == 1 ? "" : "s"), the longest \(longestRun)"
    text += "; \(pagesWithoutRoom) of them take no room on the medium"
    if !listPages.isEmpty {
      let shown = listPages.prefix(8).map(String.init).joined(separator: ", ")
      text += "; listed on page\(listPages.count == 1 ? "" : "s") \(shown)"
      if listPages.count > 8 { text += " … (\(listPages.count))" }
    }
    if let epoch { text += ", as of epoch \(epoch)" }
    return text
  }
}

extension BTreeAnatomy.Level {
  /// The longest bar of a histogram.
  private static let barWidth = 40

  fileprivate func describe(in dump: inout AnnotatedDump) {
    let name = level == 0 ? "leaves" : "level \(level)"
    var text = "\(name): \(pages) pages, \(cells) \(level == 0 ? "entries" : "separators"), "
    text += "\(percentFull) % full"
    if pages > 0 { text += ", made in epochs \(oldestEpoch) … \(newestEpoch)" }
    dump.heading(text, depth: 1)
    guard let first = pagesByTenth.firstIndex(where: { $0 > 0 }),
      let last = pagesByTenth.lastIndex(where: { $0 > 0 })
    else { return }
    let most = pagesByTenth.max() ?? 1
    let width = String(most).count
    for tenth in first...last {
      let count = pagesByTenth[tenth]
      let bar = String(
        repeating: "█", count: (count * Self.barWidth + most - 1) / most)
      let range = "\(tenth * 10)–\(tenth == 9 ? 100 : tenth * 10 + 9) %"
      dump.heading(
        "\(padded(range, 8)) \(padded(String(count), width)) \(bar)".trimmingEnd, depth: 2)
    }
  }

  private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}

extension String {
  fileprivate var trimmingEnd: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}

extension BTreeAnatomy.Node {
  /// Draws the subtree. `isLast` is nil for the root.
  fileprivate func draw(
    label: String, indent: String, isLast: Bool?, in dump: inout AnnotatedDump
  ) {
    let branch = isLast.map { $0 ? "└─ " : "├─ " } ?? ""
    dump.heading("\(indent)\(branch)\(label)\(text)", depth: 1)
    let deeper = indent + (isLast.map { $0 ? "   " : "│  " } ?? "")
    for (index, child) in children.enumerated() {
      // A damaged page is missing among the children; then nobody knows which separator is whose.
      let isWhole = children.count == separators.count + 1
      let from = !isWhole ? "" : index == 0 ? "(first) → " : "\(separators[index - 1]) → "
      child.draw(label: from, indent: deeper, isLast: index == children.count - 1, in: &dump)
    }
  }

  private var text: String {
    if level > 0 {
      return "branch \(page): \(cells + 1) children, \(percentFull) % full, epoch \(epoch)"
    }
    var text = "leaf \(page): \(cells) entries, \(percentFull) % full, epoch \(epoch)"
    if let firstKey, let lastKey {
      text += cells == 1 ? ": \(firstKey)" : ": \(firstKey) … \(lastKey)"
    }
    return text
  }
}
