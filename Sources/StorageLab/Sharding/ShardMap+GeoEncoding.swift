/// The bytes of a geographic placement (docs/formats/shard-map.md).
extension ShardMap {
  static func encode(_ geo: GeoPlacement, into writer: inout ByteWriter) {
    let numbers = Dictionary(
      geo.regions.enumerated().map { ($1.name, UInt64($0)) },
      uniquingKeysWith: { first, _ in first })
    writer.varint(UInt64(max(0, geo.cellLength)))
    writer.varint(UInt64(geo.regions.count))
    for region in geo.regions {
      text(region.name, into: &writer)
      writer.integer(region.center.latitude.bitPattern)
      writer.integer(region.center.longitude.bitPattern)
      writer.integer(UInt8(region.isOpen ? 1 : 0))
    }
    writer.varint(UInt64(geo.assignments.count))
    for assignment in geo.assignments {
      text(assignment.geohash, into: &writer)
      writer.varint(numbers[assignment.region] ?? 0)
    }
    writer.varint(UInt64(geo.rules.count))
    for rule in geo.rules {
      text(rule.jurisdiction, into: &writer)
      writer.varint(UInt64(rule.regions.count))
      for region in rule.regions { writer.varint(numbers[region] ?? 0) }
    }
  }

  /// What `ShardMap.init` checks of a placement is not checked here.
  static func decodeGeo(_ reader: inout ByteReader) -> GeoPlacement? {
    let cellLength = reader.varint()
    guard cellLength <= UInt64(Geohash.longest), let count = self.count(&reader) else { return nil }
    var regions: [GeoRegion] = []
    var assignments: [CellAssignment] = []
    var rules: [ResidencyRule] = []
    for _ in 0..<count {
      let name = text(&reader)
      let latitude = Double(bitPattern: reader.integer(UInt64.self))
      let longitude = Double(bitPattern: reader.integer(UInt64.self))
      let isOpen: UInt8 = reader.integer()
      guard isOpen <= 1 else { return nil }
      regions.append(
        GeoRegion(name, GeoPoint(latitude: latitude, longitude: longitude), isOpen: isOpen == 1))
    }
    func named(_ reader: inout ByteReader) -> String? {
      let number = reader.varint()
      return number < UInt64(regions.count) ? regions[Int(number)].name : nil
    }
    guard let assigned = self.count(&reader) else { return nil }
    for _ in 0..<assigned {
      let geohash = text(&reader)
      guard let region = named(&reader) else { return nil }
      assignments.append(CellAssignment(geohash, region))
    }
    guard let ruled = self.count(&reader) else { return nil }
    for _ in 0..<ruled {
      let jurisdiction = text(&reader)
      guard let count = self.count(&reader) else { return nil }
      var permitted: [String] = []
      for _ in 0..<count {
        guard let region = named(&reader) else { return nil }
        permitted.append(region)
      }
      rules.append(ResidencyRule(jurisdiction, in: permitted))
    }
    return GeoPlacement(
      regions: regions, rules: rules, assignments: assignments, cellLength: Int(cellLength))
  }

  /// A number of things that take one byte each at least.
  private static func count(_ reader: inout ByteReader) -> Int? {
    let count = reader.varint()
    return count <= UInt64(reader.remaining) ? Int(count) : nil
  }

  private static func text(_ text: String, into writer: inout ByteWriter) {
    Array(text.utf8).withSlice { writer.lengthPrefixed($0) }
  }

  private static func text(_ reader: inout ByteReader) -> String {
    String(decoding: reader.lengthPrefixed().rawBuffer, as: UTF8.self)
  }
}
