extension BTreePage {
  /// Sets the checksum over everything behind it, keyed with the page's number.
  func seal(_ number: UInt32) {
    checksum = computeChecksum(number)
  }

  func computeChecksum(_ number: UInt32) -> UInt32 {
    CRC32C.checksum(
      ByteSlice(base: base + 4, count: size - 4), seed: CRC32C.seed(UInt64(number)))
  }

  /// Checks checksum and structure; afterwards unchecked loads stay inside the page.
  /// Returns what is wrong, or nil. Complexity: O(size).
  func check(_ number: UInt32) -> String? {
    if checksum != computeChecksum(number) { return "page \(number) fails its checksum" }
    guard id == number else { return "page \(number) says that it is page \(id)" }
    guard let kind = Kind(rawValue: kindByte) else {
      return "page \(number) has the unknown kind \(kindByte)"
    }
    switch kind {
    case .leaf, .branch: return checkSlots(number, kind)
    case .overflow, .freeList:
      return payloadLength <= BTreePage.payloadCapacity(size)
        ? nil : "page \(number) holds more than fits in a page"
    }
  }

  private func checkSlots(_ number: UInt32, _ kind: Kind) -> String? {
    guard (kind == .leaf) == (level == 0) else {
      return "page \(number) is a \(kind) at level \(level)"
    }
    let slotsEnd = BTreePage.headerBytes + count * BTreePage.slotBytes
    let heapStart = size - heapUsed
    guard heapStart >= slotsEnd, prefixLength <= heapUsed else {
      return "page \(number): \(count) slots and \(heapUsed) bytes of cells overlap"
    }
    if prefixLength > BTreePage.maximumPrefix(size) {
      return "page \(number) has a prefix of \(prefixLength) bytes"
    }
    if kind == .branch && link < BTreePage.firstPage {
      return "page \(number) has no leftmost child"
    }
    let header = cellHeaderBytes
    let heapEnd = size - prefixLength
    var cellTotal = 0
    var previous: Slot?
    for index in 0..<count {
      let slot = self.slot(index)
      let keyEnd = slot.offset + header + slot.keyLength
      guard slot.offset >= heapStart, keyEnd <= heapEnd, keyEnd + payload(slot).count <= heapEnd
      else { return "page \(number): cell \(index) reaches outside the heap" }
      if let problem = checkCell(slot, kind, previous) {
        return "page \(number): cell \(index) \(problem)"
      }
      cellTotal += cellBytes(slot)
      previous = slot
    }
    guard cellTotal + garbage + prefixLength == heapUsed else {
      return "page \(number): the cells do not add up to the heap"
    }
    return nil
  }

  private func checkCell(_ slot: Slot, _ kind: Kind, _ previous: Slot?) -> String? {
    let suffix = keySuffix(slot)
    if suffix.head != slot.head { return "has a wrong head" }
    if kind == .leaf {
      if slot.hasChain {
        guard leafPayload(slot).count == ChainReference.encodedBytes else {
          return "has a malformed chain reference"
        }
      } else if slot.keyContinues {
        return "has a key that goes on nowhere"
      }
      if slot.hasChain && !mayHaveChains { return "has a chain that the header denies" }
    } else {
      guard slot.hasChain == slot.keyContinues else { return "has a malformed separator" }
      if load(slot.offset, UInt32.self) < BTreePage.firstPage { return "has no child" }
    }
    if slot.keyContinues
      && slot.keyLength + prefixLength != BTreePage.maximumInlineKey(size)
    {
      return "has a key that is cut at the wrong place"
    }
    if slot.hasChain, let problem = checkReference(slot) { return problem }
    guard let previous else { return nil }
    let order = keySuffix(previous).compare(suffix)
    // Keys that go on in chains may tie here; `verify` compares them in full.
    let mayTie = previous.keyContinues && slot.keyContinues
    if order > 0 || (order == 0 && !mayTie) { return "is out of order" }
    return nil
  }

  private func checkReference(_ slot: Slot) -> String? {
    let reference = ChainReference(payload(slot))
    let isSound =
      reference.first >= BTreePage.firstPage && reference.length > 0
      && reference.length < 1 << 48 && UInt64(reference.keyBytes) <= reference.length
      && (reference.keyBytes > 0) == slot.keyContinues
      && reference.keyBytes <= UInt32(EngineLimits.maximumKeyBytes)
    return isSound ? nil : "refers to a malformed chain"
  }
}
