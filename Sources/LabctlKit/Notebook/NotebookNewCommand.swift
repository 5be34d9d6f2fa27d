import ArgumentParser
import Foundation
import StorageLab

struct NotebookNewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Write the skeleton of a notebook: question, prediction, run, verdict, exercises.",
    discussion: """
      Examples:
        labctl notebook new notebooks-md/my-question.md
        labctl notebook new notebooks-md/scans.md --title 'How fast are scans?'
      """)

  @Argument(help: "The file to write; it must not exist.")
  var path: String
  @Option(help: "The notebook's title.")
  var title = "A question"
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let path: String
    let bytes: Int
  }

  func run() throws {
    if FileManager.default.fileExists(atPath: path) {
      throw StorageError(
        .invalidArgument, "there is something already", remedy: "Choose another name", path: path)
    }
    let text = NotebookNewCommand.skeleton(title)
    try WholeFile.write(Array(text.utf8), to: path)
    if output.json { return try JSON.print(Result(path: path, bytes: text.utf8.count)) }
    Terminal.output("\(path): fill it in, then `labctl notebook run \(path)`\n")
  }

  static func skeleton(_ title: String) -> String {
    """
    # \(title)

    ## The question

    What is asked, who says so, and what would follow.

    ## What holds whatever the result

    What must be equal for the comparison to be fair: records, durability, cache.

    ## A prediction

    What we expect, and why, before the run.

    ```prediction P1
    says: The LSM tree writes more bytes than the B-tree.
    holds: bytes_written(load.lsm) > bytes_written(load.btree)
    ```

    ## The run

    ```labctl load
    labctl bench fillrandom --engines btree,lsm --records 100000 --rounds 3
    # quick: --records 5000 --rounds 1
    ```

    ```chart throughput
    title: Puts a second
    bar: btree = throughput(load.btree)
    bar: lsm = throughput(load.lsm)
    ```

    ## What happened

    The LSM tree put <!-- = throughput(load.lsm) -->?<!-- / --> records.

    ## The verdict

    ```claim S1
    says: The printed claim, word for word.
    holds: throughput(load.lsm) > 2 * throughput(load.btree)
    ```

    ## Exercises

    1. Change one thing and predict what it does before you run it again.

    <!-- record -->
    <!-- /record -->

    """
  }
}
