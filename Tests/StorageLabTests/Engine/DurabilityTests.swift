import Testing

@testable import StorageLab

@Suite struct DurabilityTests {
  @Test func namesAreReadBack() {
    for durability in [Durability.none, .process, .commit, .interval(milliseconds: 7)] {
      #expect(Durability(durability.description) == durability)
    }
    #expect(Durability("interval") == .interval(milliseconds: 100))
    #expect(Durability("interval:50") == .interval(milliseconds: 50))
    #expect(Durability("interval=50") == .interval(milliseconds: 50))
  }

  @Test(arguments: [
    "", "Commit", "interval:", "interval:0", "interval:-5", "interval1x2", "interval(5)",
    "interval:99999999999999999999", "interval:3600001", "intervals",
  ])
  func nonsenseIsRefused(_ text: String) { #expect(Durability(text) == nil) }
}
