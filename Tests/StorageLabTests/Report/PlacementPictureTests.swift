import Foundation
import Testing

@testable import StorageLab

@Suite struct PlacementPictureTests {
  private let simulation = PlacementSimulation(keys: 5_000, seed: 1)

  private func picture(_ from: String, _ to: String) throws -> PlacementPicture {
    let sample = simulation.sample(5_000)
    let before = try PlacementText(from).map(sample: sample)
    let after = try PlacementText(to).map(sample: sample)
    return try PlacementPicture(
      "\(from) to <\(to)>", from: before, to: after,
      simulation.run(from: before, to: after), sample: sample)
  }

  @Test(arguments: [
    ("ring:4", "ring:5", PlacementStrip.Axis.ring), ("slots:3", "slots:2", .slots),
    ("range:4", "range:5", .keys), ("jump:30", "jump:31", .hashes), ("ring:2", "range:2", .keys),
    ("ring:1", "ring:1", .ring),
  ])
  func isSoundSVG(_ from: String, _ to: String, _ axis: PlacementStrip.Axis) throws {
    let picture = try picture(from, to)
    #expect(picture.strip.axis == axis)
    #expect(picture.strip.before.count == PlacementStrip.places)
    let svg = picture.svg
    #expect(svg.filter { $0 == "<" }.count == svg.filter { $0 == ">" }.count)
    for tag in ["svg", "path", "title", "desc", "text", "style"] {
      let opened = svg.matches(of: try Regex("<\(tag)[ >]")).count
      let closed = svg.matches(of: try Regex("</\(tag)>")).count
      let empty = svg.matches(of: try Regex("<\(tag) [^<>]*/>")).count
      #expect(opened == closed + empty, "\(tag): \(opened), \(closed) closed, \(empty) empty")
    }
    #expect(!svg.contains("nan") && !svg.contains("inf"))
    #expect(svg.contains("<desc>") && svg.contains("to &lt;\(to)&gt;"))
  }

  /// What the picture says moves is what the simulation counts.
  @Test func theShareThatMovesIsTheMapsOwn() throws {
    let picture = try picture("slots:4", "slots:5")
    let moved = zip(picture.strip.before, picture.strip.after).filter { $0 != $1 }.count
    let sample = simulation.sample(5_000)
    let result = try simulation.run(
      from: PlacementText("slots:4").map(sample: sample),
      to: PlacementText("slots:5").map(sample: sample))
    #expect(abs(Double(moved) / Double(PlacementStrip.places) - result.movedShare) < 0.02)
  }

  @Test func aPageIsOneFile() throws {
    let page = PlacementPicture.page(
      title: "A & B", [try picture("ring:4", "ring:5"), try picture("jump:4", "jump:5")],
      columns: ["from", "to"], rows: [["ring:4", "ring:5"]], note: "so & so")
    #expect(page.contains("<h1>A &amp; B</h1>") && page.contains("so &amp; so"))
    #expect(page.components(separatedBy: "<svg").count == 3)
    #expect(!page.contains("<script") && !page.contains("src=") && !page.contains("http-equiv"))
  }
}
