import CLZ4

extension LSMEngine {
  /// The version of LZ4 that is loaded, such as "1.9.4".
  public static var compressionLibraryVersion: String { String(cString: LZ4_versionString()) }
}
