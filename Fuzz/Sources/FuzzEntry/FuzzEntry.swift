import Glibc
import LabctlKit
import StorageLab

/// The target that the environment names.
private let target: FuzzTarget = {
  let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = Labctl.fuzzTargets.first(where: { $0.name == name }) else {
    let names = Labctl.fuzzTargets.map(\.name).joined(separator: " ")
    _ = "FUZZ_TARGET is one of \(names)\n".withCString { write(2, $0, strlen($0)) }
    exit(64)
  }
  return target
}()

/// libFuzzer calls this with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  target.run(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
