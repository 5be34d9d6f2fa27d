import ArgumentParser
import StorageLab

struct ShardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shard",
    abstract:
      "Place keys on shards and move them: simulate, plan and watch changes, route and hash keys.",
    discussion: """
      Examples:
        labctl shard simulate --from ring:10 --to ring:11
        labctl shard rebalance --keys 2000 --around 0.1
        printf 'foo\\nbar\\n' | labctl shard route --router slots:3
        printf 'foo\\nbar\\n' | labctl shard hash --function crc16-slot
      """,
    subcommands: [
      ShardSimulateCommand.self, ShardMapCommand.self, ShardPlanCommand.self,
      ShardRebalanceCommand.self, ShardVerifyCommand.self, ShardCrashCommand.self,
      ShardBalanceCommand.self, ShardBenchCommand.self, ShardRouteCommand.self,
      ShardHashCommand.self, ShardHotCommand.self, ShardFanOutCommand.self,
      ShardResidencyCommand.self,
    ])
}

extension PlacementText: ExpressibleByArgument {
  public init?(argument: String) {
    guard let text = try? PlacementText(argument) else { return nil }
    self = text
  }
}
