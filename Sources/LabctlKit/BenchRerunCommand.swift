import ArgumentParser
import Foundation
import StorageLab

struct BenchRerunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rerun",
    abstract: "Repeat a kept run, sweep or search: the same configuration, seed and requests.",
    discussion: """
      What is not the same, machine or build, is said before the run and in its bundle. Compare \
      the two with `labctl bench compare`.

      Examples:
        labctl bench rerun latest
        labctl bench rerun bench-results/2026-01-31T12-00-00Z-42 --no-bundle
      """)

  @Argument(help: "A bundle's directory, the JSON in it, or 'latest'.")
  var bundle = "latest"
  @Flag(help: "Keep the databases of a run's last workloads' last round.")
  var keep = false
  @OptionGroup var view: BenchViewOptions
  @OptionGroup var places: BenchPlaces

  func run() throws {
    let kept = try BundleStore(places.out).find(bundle)
    let original = kept.original
    let machine = MachineDescription.current(
      workDirectory: places.dir ?? FileManager.default.temporaryDirectory.path)
    for difference in machine.differences(from: original.machine) {
      Terminal.note("not as in the run of \(original.startedAt): \(difference)")
    }
    if keep, kept.kind != .run {
      throw ValidationError("--keep is for runs; this is \(kept.kind.words).")
    }
    switch kept {
    case .run(let run):
      try places.measure(
        run.configuration, keepsDatabases: keep, view, repeating: original)
    case .sweep(let sweep):
      try places.sweep(
        sweep.axis, sweep.values ?? sweep.points.map(\.value), sweep.base, repeating: original)
    case .capacity(let report):
      try places.capacity(
        BenchPlaces.Search(
          objective: report.objective, arrivals: report.arrivals, seconds: report.trialSeconds,
          count: report.searches ?? 1, withCurve: report.engines.contains { $0.curve != nil }),
        report.configuration, repeating: original)
    }
  }
}
