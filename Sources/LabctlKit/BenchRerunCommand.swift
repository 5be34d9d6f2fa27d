import ArgumentParser
import Foundation
import StorageLab

struct BenchRerunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rerun",
    abstract: "Repeat a kept run: the same configuration, seed and requests.",
    discussion: """
      What is not the same, machine or build, is said before the run and in its bundle. Compare \
      the two with `labctl bench compare`.

      Examples:
        labctl bench rerun latest
        labctl bench rerun bench-results/2026-01-31T12-00-00Z-42 --no-bundle
      """)

  @Argument(help: "A bundle's directory, its bundle.json, or 'latest'.")
  var bundle = "latest"
  @OptionGroup var places: BenchPlaces

  func run() throws {
    let original = try BundleStore(places.out).find(bundle)
    let machine = MachineDescription.current(
      workDirectory: places.dir ?? FileManager.default.temporaryDirectory.path)
    for difference in machine.differences(from: original.machine) {
      Terminal.note("not as in the run of \(original.startedAt): \(difference)")
    }
    try places.measure(original.configuration, repeating: original)
  }
}
