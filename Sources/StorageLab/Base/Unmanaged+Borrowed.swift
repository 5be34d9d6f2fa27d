extension Unmanaged {
  /// Lends the object without reference counting. REQUIRES: somebody else keeps it alive.
  @inline(__always)
  func borrowed<R, E: Error>(_ body: (Instance) throws(E) -> R) throws(E) -> R {
    let result = _withUnsafeGuaranteedRef { instance -> Result<R, E> in
      do throws(E) { return .success(try body(instance)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
