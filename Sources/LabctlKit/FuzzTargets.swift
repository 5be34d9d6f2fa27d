import StorageLab

extension Labctl {
  /// Everything that `make fuzz` attacks: the library's targets and the notebooks.
  public static let fuzzTargets: [FuzzTarget] =
    FuzzTarget.all + [
      FuzzTarget(
        "notebook", seeds: { () throws(StorageError) in ["cells": [0] + Array(notebook.utf8)] }
      ) { input in
        let text = String(decoding: input.dropFirst(), as: UTF8.self)
        _ = try? NotebookDocument(text)
      }
    ]

  private static let notebook = """
    # A notebook

    ```labctl
    labctl db open planes --engine btree
    ```

    <!-- result -->

    ```text
    planes: btree
    ```

    <!-- /result -->

    ```labctl trial
    labctl lsm bloom --bits 10 --keys 1e4 --json
    ```

    ```chart rates
    title: Absent keys that pass
    x: bits a key
    y: share; log; percent
    line: measured = trial.trials.bitsPerKey ; trial.trials.falsePositiveRate
    ```

    ```claim S1
    says: Not every absent key passes.
    holds: max(trial.trials.falsePositiveRate) < 0.5 * 2 + 1
    ```

    <!-- record -->

    <!-- /record -->

    """
}
