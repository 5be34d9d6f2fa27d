// swift-tools-version: 6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
  name: "StorageLab",
  products: [
    .library(name: "StorageLab", targets: ["StorageLab"]),
    .library(name: "LabctlKit", targets: ["LabctlKit"]),
    .executable(name: "labctl", targets: ["labctl"]),
    .library(name: "storagelab", type: .dynamic, targets: ["StorageLabC"]),
    // What `make install` links the library of, together with Swift's runtime.
    .library(name: "storagelab-static", type: .static, targets: ["StorageLabC"]),
  ],
  traits: [
    .trait(name: "LMDB", description: "LMDB beside the lab's engines (liblmdb-dev)"),
    .trait(name: "RocksDB", description: "RocksDB beside the lab's engines (librocksdb-dev)"),
    .trait(name: "LevelDB", description: "LevelDB beside the lab's engines (libleveldb-dev)"),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    .systemLibrary(
      name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(
      name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "CLMDB", providers: [.apt(["liblmdb-dev"])]),
    .systemLibrary(name: "CRocksDB", providers: [.apt(["librocksdb-dev"])]),
    .systemLibrary(name: "CLevelDB", providers: [.apt(["libleveldb-dev"])]),
    .target(name: "CLabShims"),
    .target(
      name: "StorageLab",
      dependencies: [
        "CSQLite", "CLZ4", "CLabShims",
        .target(name: "CLMDB", condition: .when(traits: ["LMDB"])),
        .target(name: "CRocksDB", condition: .when(traits: ["RocksDB"])),
        .target(name: "CLevelDB", condition: .when(traits: ["LevelDB"])),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: swiftSettings),
    .target(
      name: "LabctlKit",
      dependencies: [
        "StorageLab",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: swiftSettings),
    .systemLibrary(name: "CStorageLab"),
    .target(
      name: "StorageLabC", dependencies: ["StorageLab", "CStorageLab"],
      swiftSettings: swiftSettings),
    // Counts the program's allocations: for programs only, never for a library.
    .target(name: "CAllocationCounter"),
    .executableTarget(
      name: "labctl", dependencies: ["LabctlKit", "StorageLab", "CAllocationCounter"],
      swiftSettings: swiftSettings),
    .target(name: "CTestProbes", path: "Tests/CTestProbes"),
    .executableTarget(
      name: "CAPICost", dependencies: ["StorageLab", "StorageLabC", "CStorageLab"],
      path: "Tests/CAPICost", swiftSettings: swiftSettings),
    .testTarget(
      name: "StorageLabTests",
      dependencies: [
        "StorageLab", "CLabShims", "CTestProbes",
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      resources: [.copy("Scripts"), .copy("Fixtures")],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "StorageLabCTests",
      dependencies: [
        "StorageLab", "StorageLabC", "CStorageLab",
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: swiftSettings),
    .testTarget(
      name: "LabctlKitTests",
      dependencies: [
        "LabctlKit", "StorageLab", .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: swiftSettings),
  ],
  swiftLanguageModes: [.v6]
)
