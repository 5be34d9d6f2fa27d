import ArgumentParser

/// Of what is left to chance.
struct SeedOption: ParsableArguments {
  @Option(help: "Seed of all that is left to chance: the same gives the same.")
  var seed: UInt64 = 42
}
