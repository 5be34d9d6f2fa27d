import ArgumentParser
import StorageLab

/// `--merge-operator`, on every command that opens a database.
struct MergeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What merges in the database mean: counter, append, or append:SEPARATOR.",
      valueName: "operator"))
  var mergeOperator: MergeOperatorName?
}

/// A built-in operator as the command line writes it.
struct MergeOperatorName: ExpressibleByArgument {
  let mergeOperator: any MergeOperator

  init?(argument: String) {
    if argument == "counter" {
      mergeOperator = CounterOperator()
    } else if argument == "append" {
      mergeOperator = AppendOperator()
    } else if argument.hasPrefix("append:"),
      let separator = EscapedText.decode(Array(argument.utf8.dropFirst("append:".utf8.count))[...])
    {
      mergeOperator = AppendOperator(separator: separator)
    } else {
      return nil
    }
  }

  var defaultValueDescription: String { mergeOperator.name }
}
