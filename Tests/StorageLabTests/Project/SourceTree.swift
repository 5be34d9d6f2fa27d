import Foundation

/// The project's own files, for the tests that hold the tree to its rules.
enum SourceTree {
  static let root: URL = {
    var url = URL(fileURLWithPath: #filePath)
    while url.path != "/" {
      url.deleteLastPathComponent()
      if FileManager.default.fileExists(atPath: url.appendingPathComponent("Package.swift").path) {
        return url
      }
    }
    return url
  }()

  /// Paths below `folder`, relative to the root, that end in `suffix`; build folders left out.
  static func files(under folder: String, suffix: String) -> [String] {
    let base = folder.isEmpty ? root : root.appendingPathComponent(folder)
    let walker = FileManager.default.enumerator(atPath: base.path)
    var paths: [String] = []
    while let path = walker?.nextObject() as? String {
      if path.hasPrefix(".") {
        if !path.contains("/") { walker?.skipDescendants() }
        continue
      }
      if path.hasSuffix(suffix) { paths.append(folder.isEmpty ? path : "\(folder)/\(path)") }
    }
    return paths.sorted()
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
  }
}
