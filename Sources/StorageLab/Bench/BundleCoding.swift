import Foundation

/// What is kept of a measurement on disk: JSON with a schema's number, read by this build and later
/// ones.
enum BundleCoding {
  private struct Header: Decodable { var schema: Int }

  /// Keys sorted, so that two files compare. Errors: `io` for figures that JSON has not.
  static func encode(_ value: some Encodable, _ what: String) throws(StorageError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do { return [UInt8](try encoder.encode(value)) + [UInt8(ascii: "\n")] } catch {
      throw StorageError(.io, "\(what) cannot be written as JSON: \(error)")
    }
  }

  /// Errors: `wrongFormat` when the bytes are something else, `unsupportedVersion`, `corruption` when
  /// they are damaged, or hold figures that `isCoherent` refuses.
  static func decode<Kept: Decodable>(
    _ type: Kept.Type, _ bytes: [UInt8], newest: Int, _ what: String, path: String,
    isCoherent: (Kept) -> Bool
  ) throws(StorageError) -> Kept {
    let data = Data(bytes)
    guard let header = try? JSONDecoder().decode(Header.self, from: data) else {
      throw StorageError(
        .wrongFormat, "this is no \(what)",
        remedy: "Name a directory that `labctl bench list` shows", path: path)
    }
    guard header.schema <= newest else {
      throw StorageError(
        .unsupportedVersion,
        "the \(what) has schema \(header.schema); this build reads up to \(newest)",
        remedy: "Use a newer StorageLab", path: path)
    }
    let kept: Kept
    do { kept = try JSONDecoder().decode(type, from: data) } catch {
      throw .corruption("the \(what) is damaged: \(error)", path: path, offset: 0)
    }
    guard isCoherent(kept) else {
      throw .corruption("the \(what) holds figures that no run has", path: path, offset: 0)
    }
    return kept
  }
}

/// The run that another one repeats.
public struct OriginalRun: Sendable {
  public let startedAt: String
  public let machine: MachineDescription

  public init(_ bundle: RunBundle) { (startedAt, machine) = (bundle.startedAt, bundle.machine) }
  public init(_ sweep: Sweep) { (startedAt, machine) = (sweep.startedAt, sweep.machine) }
  public init(_ report: CapacityReport) {
    (startedAt, machine) = (report.startedAt, report.machine)
  }
}
