import StorageLab
import Testing

@testable import LabctlKit

@Suite struct ExpressionTests {
  private static let place = Place(line: 3, column: 5)

  /// Two cells: rows of a list and a lone object.
  private static func evaluator() throws -> ExpressionEvaluator {
    let rows = """
      [{"engine": "btree", "records": 1000, "height": 2, "diskBytes": 4096,
        "time": {"median": 10, "lowest": 8, "highest": 13, "unit": "ms"}},
       {"engine": "btree", "records": 10000, "height": 3, "diskBytes": 40960,
        "time": {"median": 110, "lowest": 90, "highest": 120, "unit": "ms"}},
       {"engine": "lsm", "records": 1000, "height": 1, "diskBytes": 2048,
        "time": {"median": 12, "lowest": 11, "highest": 14, "unit": "ms"}}]
      """
    var evaluator = ExpressionEvaluator()
    for (name, text) in [("rows", rows), ("one", "{\"ok\": true, \"zero\": 0, \"name\": \"x\"}")] {
      let bytes = Array(text.utf8)
      let json = try #require(JSONValue(bytes))
      evaluator.record(name, ExpressionValue(result: json, bytes: bytes))
    }
    return evaluator
  }

  private static func figure(_ text: String) throws -> Figure {
    try evaluator().figure(Expression.parse(text, at: place))
  }

  private static func truth(_ text: String) throws -> Truth {
    try evaluator().truth(Expression.parse(text, at: place))
  }

  private static func message(_ text: String) -> String {
    do {
      let expression = try Expression.parse(text, at: place)
      _ = try evaluator().value(expression)
      return "no error"
    } catch let error as NotebookError {
      return "\(error.column): \(error.message)"
    } catch { return "another error" }
  }

  @Test func arithmeticKeepsPrecedenceAndUnits() throws {
    #expect(try ExpressionTests.figure("1 + 2 * 3 - 4 / 2").value == 5)
    #expect(try ExpressionTests.figure("-(1 + 2) × 3").value == -9)
    #expect(try ExpressionTests.figure("1/11").value == 1.0 / 11)
    #expect(try ExpressionTests.figure("1_000_000 / 1e6").value == 1)
    #expect(try ExpressionTests.figure("12 %").value == 0.12)
    let speed = try ExpressionTests.figure("64 MiB / 2 s")
    #expect(speed.dimension == .bandwidth && speed.value == Double(32 << 20))
    #expect(try ExpressionTests.figure("64 MiB / 2 s / (1 MiB / 1 s)").text() == "32")
  }

  @Test func resultsAreWalkedByMemberPositionNameAndFilter() throws {
    #expect(try ExpressionTests.figure("rows[1].height").value == 3)
    #expect(try ExpressionTests.figure("rows[\"lsm\"].height").value == 1)
    #expect(try ExpressionTests.figure("rows[engine: \"btree\", records: 1e4].height").value == 3)
    #expect(try ExpressionTests.figure("max(rows.height)").value == 3)
    #expect(try ExpressionTests.figure("sum(rows[engine: \"btree\"].height)").value == 5)
    #expect(try ExpressionTests.figure("rows[0].diskBytes").dimension == .bytes)
    let time = try ExpressionTests.figure("rows[0].time")
    #expect(time.value == 0.01 && time.low == 0.008 && abs(time.high - 0.013) < 1e-9)
  }

  @Test func spreadGoesThroughArithmetic() throws {
    let ratio = try ExpressionTests.figure("ratio(rows[1].time, rows[0].time)")
    #expect(abs(ratio.value - 11) < 1e-9)
    #expect(abs(ratio.low - 90.0 / 13) < 1e-9 && abs(ratio.high - 15) < 1e-9)
    let difference = try ExpressionTests.figure("rows[1].time - rows[0].time")
    #expect(abs(difference.low - 0.077) < 1e-9 && abs(difference.high - 0.112) < 1e-9)
  }

  /// Confirmed and refuted only where the spreads leave no doubt.
  @Test(arguments: [
    ("rows[1].time > rows[0].time", Truth.yes), ("rows[1].time < rows[0].time", .no),
    ("rows[0].time < rows[\"lsm\"].time", .unknown), ("rows[0].height == 2", .yes),
    ("rows[0].time == 10 ms ± 30 %", .yes), ("rows[0].time == 10 ms ± 1 ms", .unknown),
    ("rows[0].time == 50 ms ± 10 ms", .no), ("1/11 == 0.0909 ± 0.001", .yes),
    ("rows[0].time in 5 ms .. 20 ms", .yes), ("rows[0].time in 9 ms .. 20 ms", .unknown),
    ("1 <= rows[0].height <= 3", .yes), ("1 <= rows[0].height < 2", .no),
    ("not rows[0].height == 2", .no), ("rows.height <= 3", .yes), ("rows.height < 3", .no),
    ("one.ok and one.name == \"x\"", .yes), ("1 > 2 or rows[0].time < 10 ms", .unknown),
    ("1 > 2 and rows[0].time < 10 ms", .no), ("rows[0].height != 3", .yes),
  ])
  func comparisonsHaveThreeAnswers(_ text: String, _ answer: Truth) throws {
    #expect(try ExpressionTests.truth(text) == answer, "\(text)")
  }

  @Test func linesAreFitted() throws {
    #expect(try ExpressionTests.figure("linearity(rows.records, rows.records)").value == 1)
    #expect(
      abs(try ExpressionTests.figure("slope(rows.records, rows.records * 3)").value - 3) < 1e-9)
  }

  @Test func theMedianIsBoundedByOrderStatistics() {
    for (count, left) in [(1, 0), (3, 0), (5, 0), (8, 0), (9, 1), (15, 3), (21, 5), (101, 40)] {
      let bounds = MedianBounds.of((0..<count).map(Double.init).reversed())
      #expect(bounds.low == Double(left) && bounds.high == Double(count - 1 - left), "\(count)")
    }
  }

  @Test func pointsAreJoined() throws {
    let line = "interpolate(rows[engine: \"btree\"].records, rows[engine: \"btree\"].time, "
    let middle = try ExpressionTests.figure(line + "5500)")
    #expect(abs(middle.value - 0.06) < 1e-9 && abs(middle.low - 0.049) < 1e-9)
    #expect(
      ExpressionTests.message(line + "1)")
        == "5: 1 lies outside of the points, which go from 1,000 to 10,000")
  }

  /// Every message says where, what was found and what was expected or is there.
  @Test(arguments: [
    ("", "5: expected a number, a name or '(', found the end"),
    ("1 +", "8: expected a number, a name or '(', found the end"),
    ("(1", "7: expected ')', found the end"),
    ("1 2", "7: expected an operator or the end, found the number 2"),
    ("rows[", "10: expected a number, a name or '(', found the end"),
    ("rows[0", "11: expected ']', found the end"),
    ("rows.", "10: expected a member's name, found the end"),
    ("f(1, ", "10: expected a number, a name or '(', found the end"),
    ("\"open", "5: the quote is never closed"), ("1 # 2", "7: '#' has no meaning in an expression"),
    ("1 < 2 ± 1", "11: ± belongs behind ==: say how near the two are to be"),
    ("1 in 2", "11: expected '..' between the ends of the range, found the end"),
    ("and", "5: expected a number, a name or '(', found and"),
    ("nothing", "5: there is no cell or engine nothing above; known: one, rows"),
    ("one.none", "5: one has no member none; members: name, ok, zero"),
    ("rows[7]", "10: expected a text or a number from 0 to 2"),
    (
      "rows[\"sqlite\"]",
      "10: rows has no element called sqlite; there are: btree, btree, lsm"
    ),
    ("rows[engine: \"x\"]", "18: no element of rows has this engine"),
    ("1 / one.zero", "9: division by zero: one.zero is 0"),
    ("1 ms + 1 B", "12: 1 B is a size, but the other side is a time"),
    ("1 ms < 1 B", "12: 1 B is a size, but the other side is a time"),
    ("max(1 ms, 1 B)", "5: max of a time and a size"),
    ("rows + 1", "5: rows holds a part of a result, not a figure"),
    (
      "rows[0].time == rows[1].time",
      "18: measured figures are never equal: say how near, as in == 110 ms ± 10 %"
    ),
    ("ratio(1)", "5: ratio takes 2 arguments, not 1"),
    ("throughput(one)", "16: one is a part of a result, not an engine of a benchmark"),
    (
      "slope(rows[0].height, 1)",
      "5: slope needs two lists of the same length, three or more elements"
    ),
  ])
  func errorsSayWhere(_ text: String, _ message: String) {
    #expect(ExpressionTests.message(text) == message, "\(text)")
  }

  /// Bytes without sense are errors, never the end of the process.
  @Test func anythingIsReadOrRefused() throws {
    let alphabet = Array("aé1.5e±%[](){}\"',:;<>=!+-*/×… \t\u{0}rowsandnotin")
    var random = SeededRandom(seed: 7)
    let evaluator = try ExpressionTests.evaluator()
    var parsed = 0
    for _ in 0..<20_000 {
      let length = random.below(12)
      let text = String((0..<length).map { _ in alphabet[random.below(alphabet.count)] })
      guard let expression = try? Expression.parse(text, at: ExpressionTests.place) else {
        continue
      }
      parsed += 1
      _ = try? evaluator.value(expression)
      _ = try? evaluator.evidence(expression)
    }
    #expect(parsed > 100)
    let deep = String(repeating: "(", count: 10_000)
    #expect(ExpressionTests.message(deep).hasSuffix("the expression is nested too deeply"))
    let signs = String(repeating: "-", count: 100_001) + "1"
    #expect(try ExpressionTests.figure(signs).value == -1)
  }

  @Test(arguments: [
    (Figure(0.000_123_4, .time), "123 µs"), (Figure(0.999_6e-3, .time), "1 ms"),
    (Figure(1_234_567, .rate), "1,230,000/s"), (Figure(1536, .bytes), "1.5 KiB"),
    (Figure(1_048_575, .bytes), "1 MiB"), (Figure(12_345), "12,345"), (Figure(0.031_42), "0.0314"),
    (Figure(2.0 / 3), "0.667"), (Figure(-2.5), "-2.5"), (Figure(.infinity), "∞"),
    (Figure(9.999), "10"), (Figure(0), "0"),
  ])
  func figuresAreWrittenWithThreeDigits(_ figure: Figure, _ text: String) {
    #expect(figure.text() == text)
  }

  @Test func formatsAreChosenByTheWriter() throws {
    func text(_ source: String) throws -> String {
      let (expression, format) = try Expression.parseFormatted(source, at: ExpressionTests.place)
      return try ExpressionTests.evaluator().figure(expression).text(format)
    }
    #expect(try text("1/8 as percent") == "12.5 %")
    #expect(try text("10/3 as 2") == "3.33")
    #expect(try text("1e6 as integer") == "1,000,000")
    #expect(try text("rows[0].time as range") == "10 ms (8 ms … 13 ms)")
    #expect(try text("rows[0].time as µs") == "10,000 µs")
    #expect(throws: NotebookError.self) { try text("1 as nonsense") }
  }
}
