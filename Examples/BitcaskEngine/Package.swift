// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "BitcaskEngine",
  products: [.library(name: "BitcaskEngine", targets: ["BitcaskEngine"])],
  dependencies: [.package(name: "StorageLab", path: "../..")],
  targets: [
    .target(
      name: "BitcaskEngine", dependencies: [.product(name: "StorageLab", package: "StorageLab")]),
    .executableTarget(
      name: "bitcask-labctl",
      dependencies: ["BitcaskEngine", .product(name: "LabctlKit", package: "StorageLab")]),
    .testTarget(
      name: "BitcaskEngineTests",
      dependencies: ["BitcaskEngine", .product(name: "StorageLab", package: "StorageLab")]),
  ]
)
