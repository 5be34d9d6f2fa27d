import ArgumentParser
import StorageLab
import Synchronization

/// The command line: one file per command; each parses, calls `StorageLab` and renders. A library,
/// so that a package with engines of its own has every command for them: it registers them and
/// calls `Labctl.main()`.
public struct Labctl: ParsableCommand {
  public static let configuration = CommandConfiguration(
    commandName: "labctl",
    abstract: "A laboratory for storage engines: measure, inspect and use them side by side.",
    discussion: """
      Examples:
        labctl db open /tmp/books --engine btree
        labctl db put /tmp/books isbn-0131103628 'The C Programming Language'
        labctl db scan /tmp/books --prefix isbn-
        labctl verify /tmp/books
        labctl repair /tmp/books --into /tmp/repaired
        labctl bench
        labctl sweep --axis read-fraction=0..1
        labctl lsm simulate
        labctl lsm timeline /tmp/logs --output timeline.html
        labctl data list
        labctl calibrate
        labctl fill --engines btree --records 1e5 --keys ascending,random
        labctl reads --records 1e5 --caches 1MiB,16MiB
        labctl recovery --records 1e4,1e5
        labctl crash --engine lsm --points 500
        labctl kill --engine btree --kills 3
        labctl damage --engine lsm --every 997
        labctl notebook list

      Exit codes: 0 done, 1 a check found a difference, 2 usage, 3 not found, 4 wrong format or \
      newer version, 5 corruption, 6 locked, 7 I/O error or no space, 8 read-only, \
      9 unsupported. docs/guide/exit-codes.md says more.
      """,
    version: "0.1.0",
    subcommands: [
      DatabaseCommand.self, VerifyCommand.self, RepairCommand.self, InspectCommand.self,
      BenchCommand.self,
      SweepCommand.self, FillCommand.self, ReadsCommand.self, RecoveryCommand.self,
      CrashCommand.self, KillCommand.self, DamageCommand.self, ModelCommand.self, SoakCommand.self,
      ShardCommand.self,
      LSMCommand.self, EnginesCommand.self, DataCommand.self, CalibrateCommand.self,
      NotebookCommand.self, DoctorCommand.self, CompletionsCommand.self, ManualCommand.self,
    ])

  private static let registered = Mutex(EngineRegistry.standard)
  private static let allocationCounter = Mutex<AllocationCounter?>(nil)

  /// The engines that the commands know: those of this build and those that `main` was given.
  static var engines: EngineRegistry { registered.withLock { $0 } }

  /// What counts this program's allocations; nil where nothing does.
  static var allocations: AllocationCounter? { allocationCounter.withLock { $0 } }

  public init() {}

  /// As `main(adding:)`. Benchmarks count allocations where the program has a counter.
  public static func main(
    adding entries: [EngineRegistry.Entry] = [], counting counter: AllocationCounter?
  ) {
    allocationCounter.withLock { $0 = counter }
    main(adding: entries)
  }

  /// As `main()`, with engines of your own beside those of the build. An entry replaces the engine
  /// of its name.
  public static func main(adding entries: [EngineRegistry.Entry]) {
    registered.withLock { registry in
      for entry in entries { registry.register(entry) }
    }
    main()
  }

  /// Parses and runs, then turns what was thrown into a message on standard error and one of
  /// the documented exit codes.
  public static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      Failure.exit(for: error)
    }
  }
}
