// swift-tools-version: 6.2
import PackageDescription

// What `make fuzz` builds: the targets behind libFuzzer's entry point. A static library, because
// libFuzzer brings `main`; Scripts/fuzz links the two.
let package = Package(
  name: "Fuzz",
  products: [.library(name: "fuzz-static", type: .static, targets: ["FuzzEntry"])],
  dependencies: [.package(name: "StorageLab", path: "..")],
  targets: [
    .target(
      name: "FuzzEntry", dependencies: [.product(name: "LabctlKit", package: "StorageLab")])
  ]
)
