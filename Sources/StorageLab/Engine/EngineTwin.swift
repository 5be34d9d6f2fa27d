/// A further database of an engine in one run, named `lsm#2`: how much the two differ is noise.
public enum EngineTwin {
  /// `lsm` of `lsm#2`, `lsm:tiered` of `lsm:tiered#2`; any other name as it is.
  public static func original(_ name: String) -> String {
    guard let mark = name.lastIndex(of: "#"), mark != name.startIndex else { return name }
    let number = name[name.index(after: mark)...]
    guard !number.isEmpty, number.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return name }
    return String(name[..<mark])
  }

  public static func name(_ original: String) -> String { original + "#2" }
}
